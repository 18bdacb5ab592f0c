//! The child: reads requests, evaluates each with the whole interpreter, answers. A child that holds
//! a model begins and ends in the same way.
//!
//! It may be killed at any moment, by the parent or by its own limits, and holds nothing that would
//! be missed. One thread evaluates, on a stack of its own; the first one waits for the parent's
//! end, because an expression that never ends never looks at its input either.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use base::Value;
use base::value::Json;
use expr::SyntaxError;
use expr::whole::Program;

use crate::confine::{confine, wait_for_hangup};
use crate::protocol::{
    ANSWER_BYTES_MAX, Answer, REQUEST_BYTES_MAX, Request, read_frame, write_frame,
};

/// First argument of the binary when it is to be an evaluator. Hidden from its users.
pub const EVALUATE: &str = "__evaluate";

/// First argument of the binary when it is to hold a model.
pub const MODEL: &str = "__model";

/// How the child ends when something in it panicked.
pub(crate) const EXIT_PANICKED: i32 = 70;

/// Compiled expressions that are kept. Compiling takes a millisecond, and loops repeat a few.
const PROGRAMS_MAX: usize = 32;

/// What `main` does, before anything else, when its first argument is [`EVALUATE`]. The two
/// arguments after it are the limits of memory and of the stack in bytes.
pub fn evaluate_child_main() -> ExitCode {
    child_main_of(EVALUATE, serve)
}

/// The same for [`MODEL`].
pub fn model_child_main() -> ExitCode {
    child_main_of(MODEL, || {
        let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
        write_frame(&mut to, &[])?;
        inference::frame::serve(&mut from, &mut to)
    })
}

fn child_main_of(word: &str, serve: fn() -> io::Result<()>) -> ExitCode {
    let mut limits = std::env::args().skip_while(|argument| argument != word).skip(1);
    let mut number = || limits.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(memory_bytes), Some(stack_bytes)) = (number(), number()) else {
        eprintln!("`{word}` is started by the program itself");
        return ExitCode::from(2);
    };
    std::panic::set_hook(Box::new(|_| std::process::exit(EXIT_PANICKED)));
    if confine(memory_bytes).is_err() {
        return ExitCode::FAILURE;
    }
    let stack_bytes = usize::try_from(stack_bytes).unwrap_or(usize::MAX);
    let worker = std::thread::Builder::new().stack_size(stack_bytes).spawn(move || {
        let served = serve();
        std::process::exit(i32::from(served.is_err()));
    });
    if worker.is_err() {
        return ExitCode::FAILURE;
    }
    wait_for_hangup();
    // Without waiting for the other thread: nobody reads what it would say.
    std::process::exit(0);
}

fn serve() -> io::Result<()> {
    let mut from = io::stdin().lock();
    let mut to = io::stdout().lock();
    let mut programs = Programs::default();
    write_frame(&mut to, &[])?;
    while let Some(frame) = read_frame(&mut from, REQUEST_BYTES_MAX)? {
        let request: Request = serde_json::from_slice(&frame)?;
        drop(frame);
        let answer = programs.answer(request);
        let mut frame = serde_json::to_vec(&answer)?;
        if frame.len() > ANSWER_BYTES_MAX {
            let what = format!("the result is larger than {} MiB", ANSWER_BYTES_MAX >> 20);
            frame = serde_json::to_vec(&Answer::<Json>::Failed(what))?;
        }
        write_frame(&mut to, &frame)?;
    }
    Ok(())
}

/// Programs compiled lately, the last used at the end.
#[derive(Default)]
struct Programs(Vec<Compiled>);

struct Compiled {
    text: Arc<str>,
    names: Vec<Arc<str>>,
    program: Arc<Program>,
}

impl Programs {
    fn answer(&mut self, request: Request) -> Answer {
        let (names, values): (Vec<Arc<str>>, Vec<Value>) = request
            .variables
            .into_iter()
            .map(|(name, Json(value))| (Arc::from(name), value))
            .unzip();
        let program = match self.get(&request.text, names) {
            Ok(program) => program,
            Err(SyntaxError { what, offset }) => return Answer::Syntax { what, offset },
        };
        if request.check {
            return Answer::Value(Json(Value::Null));
        }
        match program.run(request.input.0, values) {
            Ok(value) => Answer::Value(Json(value)),
            Err(what) => Answer::Failed(what),
        }
    }

    fn get(&mut self, text: &str, names: Vec<Arc<str>>) -> Result<Arc<Program>, SyntaxError> {
        let is_it = |known: &Compiled| *known.text == *text && known.names == names;
        let compiled = match self.0.iter().position(is_it) {
            Some(place) => self.0.remove(place),
            None => {
                let program = Arc::new(Program::compile(text, &names)?);
                Compiled { text: text.into(), names, program }
            }
        };
        if self.0.len() >= PROGRAMS_MAX {
            self.0.remove(0);
        }
        let program = compiled.program.clone();
        self.0.push(compiled);
        Ok(program)
    }
}
