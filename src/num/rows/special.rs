//! Special functions as Chebyshev sums and series, in whatever the formula computes with.

use super::rows;
use std::f64::consts::PI;

/// `exp(-x) I0(x)` on [0, 8], by x / 4 - 1.
const I0_SMALL: [f64; 31] = [
    0.33839763720473803,
    -0.3046826723431984,
    0.17162090152220877,
    -0.09490109704804764,
    0.049305284239670705,
    -0.02373741480589947,
    0.010546460394594998,
    -0.004324309995050576,
    0.0016394756169413357,
    -0.0005763755745385824,
    0.00018850288509584165,
    -5.754195010082104e-05,
    1.6448448070728896e-05,
    -4.4167383584587505e-06,
    1.1173875391201037e-06,
    -2.670793853940612e-07,
    6.046995022541919e-08,
    -1.300025009986248e-08,
    2.6598237246823866e-09,
    -5.189795601635263e-10,
    9.675809035373237e-11,
    -1.7268262914415555e-11,
    2.95505266312964e-12,
    -4.85644678311193e-13,
    7.676185498604936e-14,
    -1.1685332877993451e-14,
    1.715391285555133e-15,
    -2.431279846547955e-16,
    3.3307945188222384e-17,
    -4.4153416464793395e-18,
    5.669178006921496e-19,
];
/// `sqrt(x) exp(-x) I0(x)` from 8 on, by 16 / x - 1.
const I0_LARGE: [f64; 27] = [
    0.4022452055070544,
    0.0033691164782556943,
    6.889758346916825e-05,
    2.8913705208347567e-06,
    2.0489185894690636e-07,
    2.266668990498178e-08,
    3.396232025708386e-09,
    4.94060238822497e-10,
    1.1889147107846437e-11,
    -3.1499165279632416e-11,
    -1.3215811840447713e-11,
    -1.7941785315068062e-12,
    7.180124451383666e-13,
    3.8527783827421426e-13,
    1.54008621752141e-14,
    -4.150569347287222e-14,
    -9.554846698828307e-15,
    3.8116806693526224e-15,
    1.7725601330565263e-15,
    -3.425485619677219e-16,
    -2.8276239805165836e-16,
    3.461222867697461e-17,
    4.46562142029676e-17,
    -4.830504485944182e-18,
    -7.233180487874754e-18,
    9.921475412173699e-19,
    1.193650890845982e-18,
];
/// `exp(-x) I1(x) / x` on [0, 8], by x / 4 - 1.
const I1_SMALL: [f64; 30] = [
    0.12629359322181682,
    -0.17641651835783406,
    0.1026436586898471,
    -0.05294598120809499,
    0.024726449030626516,
    -0.010564084894626197,
    0.004156422944312888,
    -0.0015135724506312532,
    0.0005122859561685758,
    -0.00016176081582589674,
    4.781565107550054e-05,
    -1.3273163656039436e-05,
    3.4702513081376785e-06,
    -8.568720264695455e-07,
    2.0032947535521353e-07,
    -4.445059128796328e-08,
    9.381537386495773e-09,
    -1.8872497517228294e-09,
    3.625590281552117e-10,
    -6.663489723502027e-11,
    1.1736186298890901e-11,
    -1.9839743977649436e-12,
    3.223793365945575e-13,
    -5.042185504727912e-14,
    7.600684294735408e-15,
    -1.1055969477353862e-15,
    1.5536319577362005e-16,
    -2.111421214358166e-17,
    2.7779141127610464e-18,
    -3.541581772542136e-19,
];
/// `sqrt(x) exp(-x) I1(x)` from 8 on, by 16 / x - 1.
const I1_LARGE: [f64; 27] = [
    0.38928811750914005,
    -0.009761097491361469,
    -0.00011058893876262371,
    -3.882564808877691e-06,
    -2.512236237870209e-07,
    -2.6314688468895196e-08,
    -3.835380385964237e-09,
    -5.589743462196584e-10,
    -1.8974958123505413e-11,
    3.2526035830154884e-11,
    1.412580743661378e-11,
    2.0356285441470896e-12,
    -7.198551776245908e-13,
    -4.0835511110921974e-13,
    -2.1015418427726643e-14,
    4.2724400167119517e-14,
    1.0420276984128804e-14,
    -3.8144030724370075e-15,
    -1.8803547755107825e-15,
    3.3082023109209285e-16,
    2.96262899764595e-16,
    -3.209525921993424e-17,
    -4.650305368489358e-17,
    4.414348323071708e-18,
    7.517296310842105e-18,
    -9.314178867326884e-19,
    -1.242193275194891e-18,
];

/// The sum of `c[k] T_k(y)` by Clenshaw's recurrence.
#[inline(always)]
fn chebyshev<T: Float>(c: &[f64], y: T) -> T {
    let twice = y * 2.0;
    let (mut b1, mut b2) = (T::lit(0.0), T::lit(0.0));
    for &c in c[1..].iter().rev() {
        (b1, b2) = (twice * b1 - b2 + c, b1);
    }
    y * b1 - b2 + c[0]
}

/// The two sums at `|x|`, below and above 8, the latter divided by `sqrt(|x|)`.
#[inline(always)]
fn bessel<T: Float>(x: T, small: &[f64], large: &[f64]) -> [T; 2] {
    let a = x.abs();
    let far = T::select(a.gt(T::lit(8.0)), a, T::lit(8.0));
    [chebyshev(small, a / 4.0 - 1.0), chebyshev(large, T::lit(16.0) / far - 1.0) / far.sqrt()]
}

/// `exp(x^2)` in two factors that keep the relative error of the square out of the power.
#[inline(always)]
fn exp_square<T: Float>(x: T) -> T {
    // beyond 27 it is infinite in every dtype
    let near = x.abs().lt(T::lit(27.0));
    let x = T::select(near, x, T::lit(0.0));
    let h = (x * 16.0).round() / 16.0;
    T::select(near, (h * h).exp() * ((x - h) * (x + h)).exp(), T::inf())
}

/// `exp(x^2) erfc(x)` for `x >= 0`: the product below 3, from there on the continued fraction.
#[inline(always)]
fn scaled_erfc<T: Float>(x: T) -> T {
    let far = T::select(x.gt(T::lit(3.0)), x, T::lit(3.0));
    let mut tail = far;
    for k in (1..=24).rev() {
        tail = far + T::lit(0.5 * k as f64) / tail;
    }
    let near = T::select(x.lt(T::lit(3.0)), x, T::lit(3.0));
    let large = T::lit(1.0 / PI.sqrt()) / tail;
    T::select(x.gt(T::lit(3.0)), large, exp_square(near) * near.erfc())
}

/// The logarithm of the normal distribution function.
#[inline(always)]
fn log_phi<T: Float>(x: T) -> T {
    let below = x.lt(T::lit(-1.0));
    let left = T::select(below, x, T::lit(-1.0));
    let tail = (scaled_erfc(left * -0.5f64.sqrt()) * 0.5).log() - left * left * 0.5;
    let right = T::select(below, T::lit(-1.0), x);
    T::select(below, tail, (-((right * 0.5f64.sqrt()).erfc() * 0.5)).log1p())
}

/// `B_2k / (2k)!` for k from 1.
const BERNOULLI: [f64; 12] = [
    0.08333333333333333,
    -0.001388888888888889,
    3.306878306878307e-05,
    -8.267195767195768e-07,
    2.08767569878681e-08,
    -5.284190138687493e-10,
    1.3382536530684679e-11,
    -3.3896802963225827e-13,
    8.586062056277845e-15,
    -2.174868698558062e-16,
    5.5090028283602295e-18,
    -1.3954464685812524e-19,
];

/// The sum of `(q + k)^-x` for `q > 0` by Euler and Maclaurin: ten terms, an integral, and Bernoulli's corrections.
#[inline(always)]
fn hurwitz<T: Float>(x: T, q: T) -> T {
    let mut sum = T::lit(0.0);
    for k in 0..10 {
        sum = sum + (q + k as f64).pow(-x);
    }
    let w = q + 10.0;
    let last = w.pow(-x);
    let nothing = last.eq(T::lit(0.0));
    // each factor stays finite where x is huge and the power 0
    let mut rising = x / w;
    let mut series = T::lit(0.0);
    for (k, b) in BERNOULLI.iter().enumerate() {
        series = series + rising * *b;
        let next = 2.0 * k as f64;
        rising = rising * ((x + (next + 1.0)) / w) * ((x + (next + 2.0)) / w);
    }
    let rest = w / (x - 1.0) + 0.5 + series;
    sum + T::select(nothing, T::lit(0.0), last * rest)
}

/// Hurwitz' zeta function; below 0 the terms up to 0 are the alternating difference of two sums on the other side.
#[inline(always)]
fn zeta<T: Float>(x: T, q: T) -> T {
    let one = T::lit(1.0);
    let nan = T::nan();
    let below = q.lt(T::lit(0.0));
    let start = T::select(below, q - q.floor(), q);
    let start = T::select(start.gt(T::lit(0.0)), start, one);
    let x_in = T::select(x.gt(one), x, T::lit(2.0));
    let mirrored = T::select(below, one - q, one);
    let odd = !(x_in * 0.5).floor().eq(x_in * 0.5);
    let other = hurwitz(x_in, T::select(below, one - start, one)) - hurwitz(x_in, mirrored);
    let sum = hurwitz(x_in, start);
    let sum = T::select(below, T::select(odd, sum - other, sum + other), sum);
    let pole = q.le(T::lit(0.0)) & q.floor().eq(q);
    let undefined = below & !x.floor().eq(x);
    let sum = T::select(undefined, nan, sum);
    let sum = T::select(pole | x.eq(one), T::inf(), sum);
    T::select(x.lt(one) | !x.ordered(q), nan, sum)
}

rows! {
    ERFCX = "erfcx", Float, |x| {
        let y = scaled_erfc(x.abs());
        let y = T::select(x.lt(T::lit(0.0)), exp_square(x) * 2.0 - y, y);
        T::select(x.is_nan(), x, y)
    };
    LOG_NDTR = "log_ndtr", Float, |x| T::select(x.is_nan(), x, log_phi(x));
    // in the middle by erfinv; outside a first guess, and Halley's steps towards log(phi(x)) = log(p) in the lower half
    NDTRI = "ndtri", Float, |p| {
        let upper = p.gt(T::lit(0.5));
        let q = T::select(upper, T::lit(1.0) - p, p);
        let inside = q.gt(T::lit(0.0)) & !p.is_nan();
        let q = T::select(inside, q, T::lit(0.25));
        let tail = q.lt(T::lit(0.1));
        let target = T::select(tail, q, T::lit(0.05)).log();
        let t = target * -2.0;
        let mut x = -(t - (t * (2.0 * PI)).log()).maximum(T::lit(0.0)).sqrt();
        for _ in 0..3 {
            let log = log_phi(x);
            // d log(phi) / dx, and its own derivative is -slope (x + slope)
            let slope = T::lit(1.0 / (2.0 * PI).sqrt()) * (-(x * x * 0.5) - log).exp();
            let step = (log - target) / slope;
            x = x - step / (step * (x + slope) * 0.5 + 1.0);
        }
        let middle = (T::select(tail, T::lit(0.25), q) * 2.0 - 1.0).erfinv() * 2f64.sqrt();
        let x = T::select(tail, x, middle);
        let nan = T::nan();
        let ends = T::select(p.eq(T::lit(0.0)), -T::inf(), T::select(p.eq(T::lit(1.0)), T::inf(), nan));
        let ends = T::select(p.is_nan(), nan, ends);
        T::select(inside, T::select(upper, -x, x), ends)
    };
    // the same times a factor, for an x above 2
    POLYGAMMA = "polygamma", Float, |q, x, factor| factor * zeta(x, q);
    ZETA = "zeta", Float, |x, q| zeta(x, q);
    I0E = "i0e", Float, |x| {
        let [small, large] = bessel(x, &I0_SMALL, &I0_LARGE);
        T::select(x.abs().gt(T::lit(8.0)), large, small)
    };
    I1E = "i1e", Float, |x| {
        let [small, large] = bessel(x, &I1_SMALL, &I1_LARGE);
        let sign = T::select(x.lt(T::lit(0.0)), T::lit(-1.0), T::lit(1.0));
        T::select(x.abs().gt(T::lit(8.0)), large * sign, small * x)
    };
    I1 = "i1", Float, |x| {
        let [small, large] = bessel(x, &I1_SMALL, &I1_LARGE);
        let sign = T::select(x.lt(T::lit(0.0)), T::lit(-1.0), T::lit(1.0));
        // e^x in two halves: it overflows before the product does
        let half = (x.abs() * 0.5).exp();
        T::select(x.abs().gt(T::lit(8.0)), large * sign, small * x) * half * half
    };
    // recurrence up to 10 and the asymptotic series; reflection below one half
    TRIGAMMA = "trigamma", Float, |x| {
        let reflect = x.lt(T::lit(0.5));
        let mut z = T::select(reflect, T::lit(1.0) - x, x);
        let mut sum = T::lit(0.0);
        for _ in 0..10 {
            sum = sum + T::lit(1.0) / (z * z);
            z = z + 1.0;
        }
        let w = T::lit(1.0) / (z * z);
        // Bernoulli numbers B_2k
        let mut series = T::lit(7.0 / 6.0);
        for b in [-691.0 / 2730.0, 5.0 / 66.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0] {
            series = series * w + b;
        }
        sum = sum + (series * w + 1.0) / z + w * 0.5;
        let s = ((x - x.round()) * PI).sin();
        T::select(reflect, T::lit(PI * PI) / (s * s) - sum, sum)
    };
    // the same of the next derivative
    TETRAGAMMA = "tetragamma", Float, |x| {
        let reflect = x.lt(T::lit(0.5));
        let mut z = T::select(reflect, T::lit(1.0) - x, x);
        let mut sum = T::lit(0.0);
        for _ in 0..10 {
            sum = sum + T::lit(2.0) / (z * z * z);
            z = z + 1.0;
        }
        let w = T::lit(1.0) / (z * z);
        // (2k + 1) B_2k
        let mut series = T::lit(15.0 * 7.0 / 6.0);
        for b in [-13.0 * 691.0 / 2730.0, 11.0 * 5.0 / 66.0, -9.0 / 30.0, 7.0 / 42.0, -5.0 / 30.0, 3.0 / 6.0] {
            series = series * w + b;
        }
        sum = sum + (series * w + 1.0) * w + w / z;
        let r = (x - x.round()) * PI;
        let s = r.sin();
        T::select(reflect, -sum - r.cos() / (s * s * s) * (2.0 * PI * PI * PI), -sum)
    };
}
