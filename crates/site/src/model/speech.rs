//! Models of language on the site's disk, asked and answering in `OpenAI`'s words.

use std::time::Duration;

use bytes::Bytes;
use gateway::desk::{ANSWER_BYTES_MAX, Busy, NotRun, Spoke, Spoken, Words};
use inference::words::openai::{self, Answer, Form};
use models::{Model, Operation};
use sandbox::{Embedded, Generated, Part, Speech};
use tokio::sync::mpsc;

use super::runner::{Processes, name, not_run};

/// Pieces that wait for a slow client. More, and the process waits too, until its deadline.
const PIECES_MAX: usize = 1_024;

impl Processes {
    pub(super) async fn spoken(&self, model: &Model, ask: Words, deadline: Duration) -> Spoke {
        let form = match ask.operation {
            Operation::Chat => Form::Chat,
            Operation::Completions => Form::Completions,
            Operation::Embeddings => return self.vectors(model, &ask.body, deadline).await,
            Operation::Responses | Operation::Messages | Operation::Infer => {
                let what = "a model on the site's disk is not asked in these words".to_owned();
                return refused(what);
            }
        };
        let question = match openai::read(form, &ask.body, self.random.u64(), None) {
            Ok(question) => question,
            Err(wrong) => return refused(wrong.to_string()),
        };
        let name = name(&model.namespace, &model.name);
        let Generated { busy, speech } = self.models.generate(&name, &question, deadline).await;
        let speech = match speech {
            Ok(speech) => speech,
            Err(error) => return Spoke { busy, end: Err(not_run(error)) },
        };
        let answer = Answer {
            form,
            id: format!("{:016x}", self.random.u64()),
            created: self.clock.now().as_millis().max(0).cast_unsigned() / 1_000,
            model: model.name.to_string(),
        };
        if ask.is_streamed { streamed(speech, answer) } else { whole(speech, &answer).await }
    }

    async fn vectors(&self, model: &Model, body: &[u8], deadline: Duration) -> Spoke {
        let question = match openai::read_embeddings(body) {
            Ok(question) => question,
            Err(wrong) => return refused(wrong.to_string()),
        };
        let name = name(&model.namespace, &model.name);
        let Embedded { busy, vectors } = self.models.embed(&name, &question.embed, deadline).await;
        match vectors {
            Ok(vectors) => {
                let answer = openai::embeddings(model.name.as_str(), &vectors, question.is_base64);
                at_once(answer, busy)
            }
            Err(error) => Spoke { busy, end: Err(not_run(error)) },
        }
    }
}

fn refused(why: String) -> Spoke {
    Spoke { busy: Duration::ZERO, end: Err(NotRun::Refused(why)) }
}

/// An answer that is there already.
fn at_once(answer: Vec<u8>, took: Duration) -> Spoke {
    if answer.len() > ANSWER_BYTES_MAX {
        return Spoke { busy: took, end: Err(NotRun::TooLarge) };
    }
    let (told, pieces) = mpsc::channel(1);
    let busy = Busy::default();
    busy.set(took);
    told.try_send(Ok(Bytes::from(answer))).expect("there is room for one");
    Spoke { busy: took, end: Ok(Spoken { pieces, busy }) }
}

async fn whole(mut speech: Speech, answer: &Answer) -> Spoke {
    let mut text = String::new();
    loop {
        match speech.next().await {
            Some(Ok(Part::Text(piece))) => text.push_str(&piece),
            Some(Ok(Part::End(said))) => return at_once(answer.whole(&text, &said), speech.busy()),
            Some(Err(error)) => return Spoke { busy: speech.busy(), end: Err(not_run(error)) },
            None => return Spoke { busy: speech.busy(), end: Err(NotRun::Died) },
        }
    }
}

/// Event by event, as the process makes them. Whoever hears no more ends the process.
fn streamed(mut speech: Speech, answer: Answer) -> Spoke {
    let (told, pieces) = mpsc::channel(PIECES_MAX);
    let busy = Busy::default();
    busy.set(speech.busy());
    let (so_far, clock) = (speech.busy(), busy.clone());
    tokio::spawn(async move {
        let mut before = answer.begin();
        loop {
            let part = speech.next().await;
            clock.set(speech.busy());
            let (piece, is_last) = match part {
                Some(Ok(Part::Text(text))) => (Ok(answer.piece(&text)), false),
                Some(Ok(Part::End(said))) => (Ok(answer.end(&said)), true),
                Some(Err(error)) => (Err(error.to_string()), true),
                None => return,
            };
            let piece =
                piece.map(|piece| Bytes::from([std::mem::take(&mut before), piece].concat()));
            if told.send(piece).await.is_err() || is_last {
                return;
            }
        }
    });
    Spoke { busy: so_far, end: Ok(Spoken { pieces, busy }) }
}
