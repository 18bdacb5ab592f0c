//! What the guide shows is what happens: its documents are written down, its commands run, and what
//! they print is compared with what stands there. `UPDATE=1` writes down what was printed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Home;
use crate::support::world::{Answer, World};

/// The shop that the guide's calls go to.
fn shop() -> World {
    World::new(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/stock/lamp?unit=pieces" | "/stock/lamp") => {
            Answer::Json(r#"{"item": "lamp", "left": 4}"#.to_owned())
        }
        ("POST", "/orders") => Answer::Json(format!(r#"{{"ordered": {}}}"#, request.body)),
        ("GET", "/openapi.json") => Answer::Json(OPENAPI.to_owned()),
        _ => Answer::Status(404),
    })
}

const OPENAPI: &str = r#"{
  "openapi": "3.0.3", "info": {"title": "shop", "version": "1"},
  "servers": [{"url": "https://shop.example"}],
  "paths": {"/stock/{item}": {"get": {"operationId": "getStock", "parameters":
    [{"name": "item", "in": "path", "required": true, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "what is left"}}}}}
}"#;

/// A fenced block: its language and its lines, and where they begin in the file.
struct Block<'a> {
    language: &'a str,
    first: usize,
    lines: Vec<&'a str>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some(block)) => blocks.push(block),
            (Some(language), None) => {
                open = Some(Block { language, first: number + 1, lines: Vec::new() });
            }
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The words of a line as a shell would take them: single quotes keep a word together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Mutation: change any output in the guide.
#[test]
fn the_guide_shows_what_happens() {
    let file = root().join("docs/guide/language.md");
    let text = fs::read_to_string(&file).expect("the guide");
    let home = Home::new();
    let shop = shop();
    home.write(
        "site.yaml",
        &format!(
            "spec:\n  egress:\n    - destination: https://shop.example\n      to: {}\n",
            shop.url
        ),
    );
    let mut shown: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut commands = 0;
    // From the end, so that new output does not move what is still to be looked at.
    let all = blocks(&text);
    for block in &all {
        let name = block.lines.first().and_then(|line| line.strip_prefix("# "));
        if let Some(name) = name.filter(|name| block.language == "yaml" && name.ends_with(".yaml"))
        {
            home.write(name, &format!("{}\n", block.lines.join("\n")));
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    for block in all.iter().filter(|block| block.language == "json") {
        // `With this in `NAME.json`:` stands two lines above the fence.
        let above = block.first.checked_sub(3).map_or("", |at| lines[at]);
        if let Some(name) =
            above.strip_prefix("With this in `").and_then(|it| it.strip_suffix("`:"))
        {
            home.write(name, &block.lines.join("\n"));
        }
    }
    for block in all.iter().rev().filter(|block| block.language == "console") {
        let mut now = Vec::new();
        for line in block.lines.iter().filter_map(|line| line.strip_prefix("$ isonomy ")) {
            let words = words(line);
            let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            let ended = home.run(&arguments).ends_with(0);
            now.push(format!("$ isonomy {line}"));
            now.extend(ended.stdout.lines().map(str::to_owned));
            commands += 1;
        }
        shown.splice(block.first..block.first + block.lines.len(), now);
    }
    let shown = shown.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &shown).expect("written");
    }
    let differs = shown.lines().zip(text.lines()).find(|(now, then)| now != then);
    assert!(shown == text, "UPDATE=1 writes down what was printed; first {differs:?}");
    assert!(commands >= 15, "only {commands} commands");
}
