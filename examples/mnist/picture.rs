//! The pictures: curves of loss and accuracy, and a grid of digits. Text is drawn from an 8 x 8 bitmap font, so that no font has
//! to be installed.

use font8x8::UnicodeFonts;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

const INK: RGBColor = RGBColor(40, 44, 52);
const PALE: RGBColor = RGBColor(222, 226, 232);
const BLUE: RGBColor = RGBColor(44, 105, 196);
const LIGHT_BLUE: RGBColor = RGBColor(176, 203, 242);
const ORANGE: RGBColor = RGBColor(220, 108, 20);
const RED: RGBColor = RGBColor(206, 44, 44);

/// Draws a line of text with its upper left corner at a point; a pixel of the font is `scale` pixels wide.
fn text(area: &Area, s: &str, at: (i32, i32), scale: i32, color: RGBColor) -> Outcome {
    for (i, c) in s.chars().enumerate() {
        let Some(glyph) = font8x8::BASIC_FONTS.get(c) else { continue };
        for (row, bits) in glyph.iter().enumerate() {
            for column in (0..8).filter(|column| bits >> column & 1 == 1) {
                let (x, y) = (at.0 + (i as i32 * 8 + column) * scale, at.1 + row as i32 * scale);
                area.draw(&Rectangle::new([(x, y), (x + scale, y + scale)], color.filled()))?;
            }
        }
    }
    Ok(())
}

fn width(s: &str, scale: i32) -> i32 {
    s.chars().count() as i32 * 8 * scale
}

/// One curve's axis: its range, and its ticks with what they read.
pub struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<(f64, String)>,
}

/// Round ticks over a range, about five of them.
fn axis(low: f64, high: f64) -> Axis {
    let span = (high - low).max(1e-9);
    let magnitude = 10f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * magnitude).find(|s| span / s <= 6.0).unwrap_or(span);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let tick = |v: f64| (v, format!("{v:.digits$}"));
    let ticks = (0..=((high - low) / step).round() as i32).map(|i| tick(low + f64::from(i) * step)).collect();
    Axis { low, high, ticks }
}

/// `loss.png`: the loss of each step (and its running mean) above, the test accuracy of each epoch below.
pub fn curves(path: &Path, losses: &[f64], accuracies: &[f64]) -> Outcome {
    let (w, h) = (1000u32, 800u32);
    let root = BitMapBackend::new(path, (w, h)).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(440);

    let mut smooth = Vec::with_capacity(losses.len());
    let mut mean = losses.first().copied().unwrap_or(0.0);
    for &l in losses {
        mean += 0.05 * (l - mean);
        smooth.push(mean);
    }
    let top = losses.iter().copied().fold(0.0, f64::max);
    let steps = losses.len().max(2);
    let xs = axis(0.0, steps as f64);
    let at = |v: &[f64]| v.iter().enumerate().map(|(i, &y)| (i as f64 + 1.0, y)).collect::<Vec<_>>();
    let series = [(at(losses), LIGHT_BLUE, 1, "each step"), (at(&smooth), BLUE, 2, "running mean")];
    chart(&upper, "training loss (cross-entropy)", "step", &xs, &axis(0.0, top.max(0.1)), &series, false)?;

    let low = accuracies.iter().copied().fold(100.0, f64::min);
    let points: Vec<(f64, f64)> = accuracies.iter().enumerate().map(|(i, &a)| (i as f64 + 1.0, a)).collect();
    let epochs = accuracies.len().max(1);
    let step = epochs.div_ceil(12);
    let xs = Axis {
        low: 0.0,
        high: epochs as f64 + 0.25,
        ticks: (0..=epochs).step_by(step).map(|e| (e as f64, e.to_string())).collect(),
    };
    let series = [(points, ORANGE, 2, "test accuracy")];
    chart(&lower, "test accuracy in %", "epoch", &xs, &axis((low - 1.0).max(0.0), 100.0), &series, true)?;
    root.present()?;
    Ok(())
}

/// A curve: its points, how it is drawn, and its name.
pub type Series<'a> = (Vec<(f64, f64)>, RGBColor, u32, &'a str);

/// A picture of one chart.
#[allow(dead_code, reason = "another program that draws curves has this file too")]
pub fn one_chart(path: &Path, title: &str, below: &str, [xs, ys]: [&Axis; 2], series: &[Series]) -> Outcome {
    let root = BitMapBackend::new(path, (1000, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    chart(&root, title, below, xs, ys, series, true)?;
    root.present()?;
    Ok(())
}

fn chart(area: &Area, title: &str, below: &str, xs: &Axis, ys: &Axis, series: &[Series], marks: bool) -> Outcome {
    let (w, h) = area.dim_in_pixel();
    let (left, right, top, bottom) = (80, w as i32 - 30, 50, h as i32 - 60);
    let x = |v: f64| left + ((v - xs.low) / (xs.high - xs.low) * f64::from(right - left)).round() as i32;
    let y = |v: f64| bottom - ((v - ys.low) / (ys.high - ys.low) * f64::from(bottom - top)).round() as i32;
    text(area, title, (left, 14), 2, INK)?;
    for &(v, ref label) in &ys.ticks {
        area.draw(&PathElement::new(vec![(left, y(v)), (right, y(v))], PALE.stroke_width(1)))?;
        text(area, label, (left - 10 - width(label, 1), y(v) - 4), 1, INK)?;
    }
    for &(v, ref label) in xs.ticks.iter().filter(|v| v.0 <= xs.high) {
        area.draw(&PathElement::new(vec![(x(v), bottom), (x(v), bottom + 5)], INK.stroke_width(1)))?;
        text(area, label, (x(v) - width(label, 1) / 2, bottom + 10), 1, INK)?;
    }
    text(area, below, ((left + right - width(below, 1)) / 2, bottom + 28), 1, INK)?;
    area.draw(&PathElement::new(vec![(left, top), (left, bottom), (right, bottom)], INK.stroke_width(1)))?;
    let mut legend = right;
    for (points, color, thick, name) in series {
        let line: Vec<(i32, i32)> = points.iter().map(|&(a, b)| (x(a), y(b))).collect();
        if marks {
            for &p in &line {
                area.draw(&Circle::new(p, 4, color.filled()))?;
            }
        }
        area.draw(&PathElement::new(line, color.stroke_width(*thick)))?;
        if series.len() > 1 {
            legend -= width(name, 1);
            text(area, name, (legend, 22), 1, INK)?;
            area.draw(&PathElement::new(vec![(legend - 28, 26), (legend - 8, 26)], color.stroke_width(3)))?;
            legend -= 50;
        }
    }
    Ok(())
}

/// One test digit with what it is and what the network says.
pub struct Digit {
    pub pixels: Vec<u8>,
    pub truth: i64,
    pub prediction: i64,
}

/// `digits.png`: a grid of test digits; a mistake has a red frame and red text.
pub fn digits(path: &Path, digits: &[Digit], side: usize, caption: &str) -> Outcome {
    const COLUMNS: usize = 10;
    const ZOOM: i32 = 3;
    let picture = side as i32 * ZOOM;
    let (cell_w, cell_h) = (picture + 20, picture + 44);
    let rows = digits.len().div_ceil(COLUMNS) as i32;
    let (w, h) = (COLUMNS as i32 * cell_w + 20, rows * cell_h + 70);
    let root = BitMapBackend::new(path, (w as u32, h as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    text(&root, caption, (20, 16), 2, INK)?;
    text(&root, "p: predicted  t: truth", (w - 20 - width("p: predicted  t: truth", 1), 20), 1, INK)?;
    for (i, d) in digits.iter().enumerate() {
        let (x0, y0) = (20 + (i % COLUMNS) as i32 * cell_w, 54 + (i / COLUMNS) as i32 * cell_h);
        for (p, &ink) in d.pixels.iter().enumerate() {
            let (x, y) = (x0 + (p % side) as i32 * ZOOM, y0 + (p / side) as i32 * ZOOM);
            let grey = 255 - ink;
            let color = RGBColor(grey, grey, grey);
            root.draw(&Rectangle::new([(x, y), (x + ZOOM, y + ZOOM)], color.filled()))?;
        }
        let bad = d.truth != d.prediction;
        let color = if bad { RED } else { PALE };
        let (far_x, far_y) = (x0 + picture, y0 + picture);
        root.draw(&Rectangle::new([(x0 - 1, y0 - 1), (far_x, far_y)], color.stroke_width(if bad { 3 } else { 1 })))?;
        let label = format!("p:{} t:{}", d.prediction, d.truth);
        text(&root, &label, (x0 + (picture - width(&label, 1)) / 2, far_y + 8), 1, if bad { RED } else { INK })?;
    }
    root.present()?;
    Ok(())
}
