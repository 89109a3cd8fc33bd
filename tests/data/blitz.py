# What PyTorch prints for the cells of the 60-minute blitz, seeded: python blitz.py > blitz.txt
import torch, re
import numpy as np
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

torch.manual_seed(0)
cell = lambda n: print(f"In [{n}]:")

cell(1)
cell(2); x = torch.empty(5, 3); print(torch.zeros_like(x))
cell(3); x = torch.rand(5, 3); print(x)
cell(4); x = torch.zeros(5, 3, dtype=torch.long); print(x)
cell(5); x = torch.tensor([5.5, 3]); print(x)
cell(6); x = x.new_ones(5, 3, dtype=torch.double); print(x); x = torch.randn_like(x, dtype=torch.float); print(x)
cell(7); print(x.size())
cell(8); y = torch.rand(5, 3); print(x + y)
cell(9); print(torch.add(x, y))
cell(10); result = torch.empty(5, 3); torch.add(x, y, out=result); print(result)
cell(11); y.add_(x); print(y)
cell(12); print(x[:, 1])
cell(13); x = torch.randn(4, 4); y = x.view(16); z = x.view(-1, 8); print(x.size(), y.size(), z.size())
cell(14); x = torch.randn(1); print(x); print(x.item())
cell(15); a = torch.ones(5); b = a.numpy(); print(a); print(b)
cell(16); a.add_(1); print(a); print(b)
cell(17); a = np.ones(5); b = torch.from_numpy(a); np.add(a, 1, out=a); print(a); print(b)
cell(18)
x = torch.randn(5, 3)
y = torch.ones_like(x)
z = x + y
print(str(z)[:-1] + ", device='cuda:0')")  # as on a GPU, which only adds this suffix
print(z.to("cpu", torch.double))
cell(19)
cell(20); x = torch.ones(2, 2, requires_grad=True); print(x)
cell(21); y = x + 2; print(y)
cell(22); print(y.grad_fn)
cell(23); z = y * y * 3; out = z.mean(); print(z, out)
cell(24); a = torch.randn(2, 2); a = ((a * 3) / (a - 1)); print(a.requires_grad); a.requires_grad_(True); print(a.requires_grad)
b = (a * a).sum(); print(b.requires_grad); print(b.grad_fn)
cell(25); out.backward()
cell(26); print(x.grad)
cell(27)
x = torch.randn(3, requires_grad=True)
y = x * 2
while y.data.norm() < 1000:
    y = y * 2
print(y)
cell(28); v = torch.tensor([0.1, 1.0, 0.0001], dtype=torch.float); y.backward(v); print(x.grad)
cell(29); print(x.requires_grad); print((x ** 2).requires_grad)
with torch.no_grad():
    print((x ** 2).requires_grad)
cell(30); print(x.requires_grad); y = x.detach(); print(y.requires_grad); print(x.eq(y).all())
cell(31)
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x
    def num_flat_features(self, x):
        size = x.size()[1:]
        num_features = 1
        for s in size:
            num_features *= s
        return num_features
net = Net()
print(net)
cell(32)
for name, param in net.named_parameters():
    print(name, param.shape)
params = list(net.parameters()); print(len(params)); print(params[0].size())
cell(33); input = torch.randn(1, 1, 32, 32); out = net(input); print(out)
cell(34); net.zero_grad(); out.backward(torch.randn(1, 10))
cell(35)
output = net(input)
target = torch.randn(10)
target = target.view(1, -1)
criterion = nn.MSELoss()
loss = criterion(output, target)
print(loss)
cell(36)
print(loss.grad_fn)
print(loss.grad_fn.next_functions[0][0])
print(loss.grad_fn.next_functions[0][0].next_functions[0][0])
cell(37)
net.zero_grad()
print("conv1.bias.grad before backward")
print(net.conv1.bias.grad)
loss.backward()
print("conv1.bias.grad after backward")
print(net.conv1.bias.grad)
cell(38)
learning_rate = 0.01
for f in net.parameters():
    f.data.sub_(f.grad.data * learning_rate)
cell(39)
optimizer = optim.SGD(net.parameters(), lr=0.1)
optimizer.zero_grad()
output = net(input)
loss = criterion(output, target)
loss.backward()
optimizer.step()
# not in the tutorial: what the two steps led to
print(criterion(net(input), target))
