//! Whether who comes is the site, from what its first word says and what is written down.

use base::IncarnationId;
use wire::link::{Ancestor, Hello, PerStream, RefusedCode, Stream};

use super::{Kept, Present, Suspicion};

pub(super) enum Verdict {
    Refuse(RefusedCode),
    Suspect(Suspicion),
    Grant { present: Present, retired: Vec<IncarnationId> },
}

/// Whether this is the site.
pub(super) fn judge(kept: &Kept, hello: &Hello) -> Verdict {
    if kept.quarantine.is_some() {
        return Verdict::Refuse(RefusedCode::Quarantined);
    }
    if kept.retired.contains(&hello.incarnation) {
        return Verdict::Refuse(RefusedCode::RetiredIncarnation);
    }
    match kept.present {
        Some(present) if present.incarnation == hello.incarnation => goes_on(kept, present, hello),
        Some(present) => follows(kept, present, hello),
        None if kept.expected.is_none_or(|expected| descends(hello, expected)) => {
            Verdict::Grant { present: new(kept, hello), retired: Vec::new() }
        }
        None => Verdict::Refuse(RefusedCode::RetiredIncarnation),
    }
}

/// The same of a file. It may be old, and nobody is there: sessions say nothing, nor does it matter that
/// it has less than the hub.
pub(super) fn judge_carried(kept: &Kept, hello: &Hello) -> Verdict {
    let is_present = |present: &Present| present.incarnation == hello.incarnation;
    match kept.present.filter(is_present) {
        Some(present) if kept.quarantine.is_none() => {
            Verdict::Grant { present, retired: Vec::new() }
        }
        _ => judge(kept, hello),
    }
}

/// The incarnation that is known.
fn goes_on(kept: &Kept, present: Present, hello: &Hello) -> Verdict {
    if hello.session < present.confirmed {
        return Verdict::Suspect(Suspicion::OldSession);
    }
    let sent = |stream| present.heads.get(stream).map_or(0, |head| head.position);
    if Stream::ALL.into_iter().any(|stream| *hello.last.get(stream) < sent(stream)) {
        return Verdict::Suspect(Suspicion::SetBack);
    }
    let present = Present {
        granted: present.granted.max(hello.session) + 1,
        confirmed: hello.session,
        by: kept.hub,
        ..present
    };
    Verdict::Grant { present, retired: Vec::new() }
}

/// Another incarnation: restored from the one that is known, or from the same as that one.
fn follows(kept: &Kept, present: Present, hello: &Hello) -> Verdict {
    let is_ancestor = |it: &Ancestor| it.incarnation == present.incarnation;
    let Some(place) = hello.ancestors.iter().position(is_ancestor) else {
        // A second one from a backup that another was restored from: that one is the site, and nobody
        // doubts it.
        let is_late = hello.ancestors.iter().any(|it| kept.retired.contains(&it.incarnation));
        return match is_late {
            true => Verdict::Refuse(RefusedCode::RetiredIncarnation),
            false => Verdict::Suspect(Suspicion::Unrelated),
        };
    };
    let left = hello.ancestors[place].last;
    let before = PerStream::of(|stream| {
        let head = present.heads.get(stream).map(|head| head.position);
        let had = head.or(*present.before.get(stream));
        had.map(|had| had.min(*left.get(stream)))
    });
    let retired = hello.ancestors[..=place].iter().map(|it| it.incarnation).collect();
    Verdict::Grant { present: Present { before, ..new(kept, hello) }, retired }
}

/// Whether it is this incarnation, or was restored from it.
fn descends(hello: &Hello, from: IncarnationId) -> bool {
    hello.incarnation == from || hello.ancestors.iter().any(|it| it.incarnation == from)
}

fn new(kept: &Kept, hello: &Hello) -> Present {
    Present {
        incarnation: hello.incarnation,
        granted: hello.session + 1,
        confirmed: hello.session,
        by: kept.hub,
        heads: PerStream::default(),
        before: PerStream::default(),
    }
}
