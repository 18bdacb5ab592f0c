//! The picture as SVG that needs nothing else: no script, no style sheet, no font of its own.
//!
//! Lists run from top to bottom, branches stand beside each other in layers, and flows that leave the
//! order run along the right side of their list.

use std::fmt::Write as _;

use super::draw::{family, jump, omitted, remark};
use super::{Graph, Region, States, Step, Target};

const CHAR_WIDTH: f64 = 7.3;
const LINE: f64 = 17.0;
const PAD: f64 = 12.0;
const GAP: f64 = 28.0;
const LANE: f64 = 14.0;
const BOX_WIDTH_MIN: f64 = 110.0;

#[must_use]
pub fn svg(graph: &Graph, states: &States) -> String {
    let body = measure_region(&graph.body, states);
    let title_width = text_width(&graph.title);
    let (width, height) = (body.width.max(title_width) + 2.0 * PAD, body.height + LINE + 3.0 * PAD);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" font-family=\"monospace\" font-size=\"12\" role=\"img\">\n<title>{0}</title>\n<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        escaped(&graph.title)
    );
    label(&mut out, PAD, PAD + LINE * 0.7, &graph.title, "font-weight=\"bold\"");
    draw_region(&graph.body, &body, PAD, 2.0 * PAD + LINE, states, &mut out);
    out.push_str("</svg>\n");
    out
}

/// How large a list is, and where its steps stand in it.
struct Measured {
    width: f64,
    height: f64,
    label: bool,
    steps: Vec<Cell>,
    lanes: usize,
    /// Of the column of boxes, without the lanes.
    inner: f64,
    more_at: Option<(f64, f64)>,
}

struct Cell {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    lines: Vec<String>,
    regions: Vec<Measured>,
}

fn measure_region(region: &Region, states: &States) -> Measured {
    let mut cells: Vec<Cell> = region
        .steps
        .iter()
        .enumerate()
        .map(|(place, step)| measure_step(step, region, place, states))
        .collect();
    let has_label = !region.label.is_empty();
    let top = if has_label { LINE } else { 0.0 };
    let (inner, bottom) = if region.is_concurrent {
        place_in_layers(region, &mut cells, top)
    } else {
        let inner = cells.iter().map(|cell| cell.width).fold(0.0, f64::max);
        let mut y = top;
        for cell in &mut cells {
            cell.x = (inner - cell.width) / 2.0;
            cell.y = y;
            y += cell.height + GAP;
        }
        (inner, (y - GAP).max(top))
    };
    let more = omitted(region);
    let more_at = more.as_ref().map(|_| (0.0, bottom + GAP));
    let height = bottom + more.as_ref().map_or(0.0, |_| GAP + LINE + PAD);
    let lanes = region.steps.iter().enumerate().flat_map(|(at, step)| jumps(step, at)).count();
    let words = [more.unwrap_or_default(), region.label.clone()];
    let least = words.iter().map(|text| text_width(text)).fold(0.0, f64::max);
    let width = (inner + lanes as f64 * LANE + if lanes > 0 { PAD } else { 0.0 }).max(least);
    Measured { width, height, label: has_label, steps: cells, lanes, inner, more_at }
}

/// Branches by how many others they wait for in a row. Gives width and bottom.
fn place_in_layers(region: &Region, cells: &mut [Cell], top: f64) -> (f64, f64) {
    let layers = layers(region);
    let count = layers.iter().copied().max().map_or(0, |last| last + 1);
    let (mut y, mut width): (f64, f64) = (top, 0.0);
    for layer in 0..count {
        let (mut x, mut height): (f64, f64) = (0.0, 0.0);
        for (cell, _) in cells.iter_mut().zip(&layers).filter(|(_, of)| **of == layer) {
            (cell.x, cell.y) = (x, y);
            x += cell.width + GAP;
            height = height.max(cell.height);
        }
        width = width.max(x - GAP);
        y += height + GAP;
    }
    (width, (y - GAP).max(top))
}

fn layers(region: &Region) -> Vec<usize> {
    let mut layers = vec![0; region.steps.len()];
    // As often as a chain can be long; a cycle ends here too.
    for _ in 0..region.steps.len() {
        let mut is_same = true;
        for (place, step) in region.steps.iter().enumerate() {
            let wanted = step.after.iter().map(|before| layers[*before] + 1).max().unwrap_or(0);
            if wanted > layers[place] && wanted < region.steps.len() {
                layers[place] = wanted;
                is_same = false;
            }
        }
        if is_same {
            break;
        }
    }
    layers
}

fn measure_step(step: &Step, region: &Region, place: usize, states: &States) -> Cell {
    let mut lines = vec![step.name.clone(), remark(step, states)];
    for edge in &step.edges {
        let to = jump(&edge.to, region, place);
        let is_plain = edge.label.is_empty();
        let leaves = !matches!(edge.to, Target::Step(_)) && to.is_some();
        if leaves || !is_plain {
            let next = || match &edge.to {
                Target::Step(to) => region.steps.get(*to).map_or("", |step| &step.name).to_owned(),
                Target::Exit | Target::End | Target::Lost(_) => "exit".to_owned(),
            };
            let to = to.unwrap_or_else(next);
            let label = if is_plain { String::new() } else { format!("{} ", edge.label) };
            lines.push(format!("{label}→ {to}"));
        }
    }
    let regions: Vec<Measured> =
        step.regions.iter().map(|region| measure_region(region, states)).collect();
    let inner = regions.iter().map(|region| region.width).fold(0.0, f64::max);
    let words = lines.iter().map(|line| text_width(line)).fold(0.0, f64::max);
    let heights: f64 = regions.iter().map(|region| region.height + PAD).sum();
    Cell {
        x: 0.0,
        y: 0.0,
        width: (inner.max(words) + 2.0 * PAD).max(BOX_WIDTH_MIN),
        height: lines.len() as f64 * LINE + heights + PAD,
        lines,
        regions,
    }
}

/// The steps that a step jumps to within its list.
fn jumps(step: &Step, place: usize) -> impl Iterator<Item = usize> {
    step.edges.iter().filter_map(move |edge| match edge.to {
        Target::Step(to) if to != place + 1 => Some(to),
        _ => None,
    })
}

fn draw_region(
    region: &Region,
    measured: &Measured,
    x: f64,
    y: f64,
    states: &States,
    out: &mut String,
) {
    if measured.label {
        label(out, x, y + LINE * 0.7, &region.label, "fill=\"#666\" font-style=\"italic\"");
    }
    let mut lane = 0;
    for (place, (step, cell)) in region.steps.iter().zip(&measured.steps).enumerate() {
        draw_step(step, cell, x + cell.x, y + cell.y, states, out);
        for before in step.after.iter().filter_map(|at| measured.steps.get(*at)) {
            let from = (x + before.x + before.width / 2.0, y + before.y + before.height);
            let to = (x + cell.x + cell.width / 2.0, y + cell.y);
            arrow(out, &format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1));
        }
        let goes_on = step.edges.iter().any(|edge| edge.to == Target::Step(place + 1));
        if let Some(next) = measured.steps.get(place + 1).filter(|_| goes_on) {
            let middle = x + measured.inner / 2.0;
            let (from, to) = (y + cell.y + cell.height, y + next.y);
            arrow(out, &format!("M{middle:.1} {from:.1}L{middle:.1} {to:.1}"));
        }
        for target in jumps(step, place) {
            lane += 1;
            let Some(to) = measured.steps.get(target) else { continue };
            let side = x + measured.inner + PAD + (lane.min(measured.lanes) as f64 - 0.5) * LANE;
            let from = (x + cell.x + cell.width, y + cell.y + cell.height - PAD);
            let into = (x + to.x + to.width, y + to.y + LINE * 0.7);
            arrow(
                out,
                &format!(
                    "M{:.1} {:.1}L{side:.1} {:.1}L{side:.1} {:.1}L{:.1} {:.1}",
                    from.0, from.1, from.1, into.1, into.0, into.1
                ),
            );
        }
    }
    if let (Some(text), Some((dx, dy))) = (omitted(region), measured.more_at) {
        label(out, x + dx, y + dy + LINE * 0.7, &format!("… {text}"), "fill=\"#666\"");
    }
}

fn draw_step(step: &Step, cell: &Cell, x: f64, y: f64, states: &States, out: &mut String) {
    let (fill, stroke) = colours(family(step, states));
    let dash = if step.is_conditional { " stroke-dasharray=\"5 3\"" } else { "" };
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"5\" fill=\"{fill}\" stroke=\"{stroke}\"{dash}/></g>",
        escaped(&step.location),
        cell.width,
        cell.height
    );
    let mut line_y = y + LINE * 0.9;
    for (at, line) in cell.lines.iter().enumerate() {
        let style = if at == 0 { "font-weight=\"bold\"" } else { "fill=\"#444\"" };
        label(out, x + PAD, line_y, line, style);
        line_y += LINE;
    }
    let mut inner_y = y + cell.lines.len() as f64 * LINE + PAD / 2.0;
    for (region, measured) in step.regions.iter().zip(&cell.regions) {
        draw_region(region, measured, x + PAD, inner_y, states, out);
        inner_y += measured.height + PAD;
    }
}

const fn colours(family: Option<&'static str>) -> (&'static str, &'static str) {
    let Some(family) = family else { return ("#f7f9fc", "#5b6b82") };
    match family.as_bytes() {
        b"completed" => ("#d7f0dd", "#2e7d32"),
        b"faulted" => ("#fbdcdc", "#c62828"),
        b"running" => ("#dbe9fb", "#1565c0"),
        b"waiting" => ("#fdf0cf", "#b26a00"),
        _ => ("#eeeeee", "#757575"),
    }
}

fn arrow(out: &mut String, path: &str) {
    let _ =
        writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#555\" marker-end=\"url(#a)\"/>");
}

fn label(out: &mut String, x: f64, y: f64, text: &str, style: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{}</text>", escaped(text));
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHAR_WIDTH
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
