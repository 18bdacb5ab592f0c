//! The classes into which all that a call uses falls, each token into exactly one of them.

use std::ops::{Index, IndexMut};

/// What is counted and priced. The order is that in which a bill is read, and in which a tier that
/// applies to a part of the input cuts through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Tokens of input that were read from the provider's cache.
    CacheRead,
    /// Tokens of input that were written to it, to stay some minutes.
    CacheWrite5m,
    /// The same, to stay an hour.
    CacheWrite1h,
    /// All other tokens of input.
    Input,
    AudioIn,
    ImageIn,
    /// Tokens of output that are none of the following.
    Output,
    /// Tokens that a model thought and did not show.
    Reasoning,
    AudioOut,
    ImageOut,
    /// Images made, where a provider counts images.
    Image,
    /// Searches of the web that a provider made for the call.
    Search,
    Request,
    /// Time of a device, for local models; of the recording, where a provider bills that.
    Millisecond,
}

impl Class {
    pub const COUNT: usize = 14;

    pub const ALL: [Self; Self::COUNT] = [
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::Input,
        Self::AudioIn,
        Self::ImageIn,
        Self::Output,
        Self::Reasoning,
        Self::AudioOut,
        Self::ImageOut,
        Self::Image,
        Self::Search,
        Self::Request,
        Self::Millisecond,
    ];

    /// Those that are tokens of input, and those that are tokens of output.
    pub const INPUT: [Self; 6] = [
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::Input,
        Self::AudioIn,
        Self::ImageIn,
    ];
    pub const OUTPUT: [Self; 4] = [Self::Output, Self::Reasoning, Self::AudioOut, Self::ImageOut];

    /// As the catalogue's column. Milliseconds are priced by the second.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::Input => "input",
            Self::AudioIn => "audio_in",
            Self::ImageIn => "image_in",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOut => "audio_out",
            Self::ImageOut => "image_out",
            Self::Image => "image",
            Self::Search => "search",
            Self::Request => "request",
            Self::Millisecond => "second",
        }
    }

    /// For people, on a bill.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::CacheRead => "Input Tokens, Cache Read",
            Self::CacheWrite5m => "Input Tokens, Cache Write",
            Self::CacheWrite1h => "Input Tokens, Cache Write 1h",
            Self::Input => "Input Tokens",
            Self::AudioIn => "Input Tokens, Audio",
            Self::ImageIn => "Input Tokens, Image",
            Self::Output => "Output Tokens",
            Self::Reasoning => "Output Tokens, Reasoning",
            Self::AudioOut => "Output Tokens, Audio",
            Self::ImageOut => "Output Tokens, Image",
            Self::Image => "Images",
            Self::Search => "Searches",
            Self::Request => "Requests",
            Self::Millisecond => "Seconds",
        }
    }

    /// Units of this class in the unit that a price is written for: prices of tokens are for a million,
    /// those of time for a second.
    #[must_use]
    pub const fn per(self) -> u128 {
        match self {
            Self::Image | Self::Search | Self::Request => 1,
            Self::Millisecond => 1_000,
            Self::CacheRead
            | Self::CacheWrite5m
            | Self::CacheWrite1h
            | Self::Input
            | Self::AudioIn
            | Self::ImageIn
            | Self::Output
            | Self::Reasoning
            | Self::AudioOut
            | Self::ImageOut => 1_000_000,
        }
    }

    #[must_use]
    pub const fn is_token(self) -> bool {
        self.per() == 1_000_000
    }

    /// The class whose price holds where this one has none of its own.
    #[must_use]
    pub const fn wider(self) -> Option<Self> {
        match self {
            Self::CacheWrite1h => Some(Self::CacheWrite5m),
            Self::CacheRead | Self::CacheWrite5m | Self::AudioIn | Self::ImageIn => {
                Some(Self::Input)
            }
            Self::Reasoning | Self::AudioOut | Self::ImageOut => Some(Self::Output),
            Self::Input
            | Self::Output
            | Self::Image
            | Self::Search
            | Self::Request
            | Self::Millisecond => None,
        }
    }
}

/// One thing for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PerClass<T>([T; Class::COUNT]);

impl<T> Index<Class> for PerClass<T> {
    type Output = T;

    fn index(&self, class: Class) -> &T {
        &self.0[class as usize]
    }
}

impl<T> IndexMut<Class> for PerClass<T> {
    fn index_mut(&mut self, class: Class) -> &mut T {
        &mut self.0[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: give two classes one place, or put an input class among the outputs.
    #[test]
    fn every_class_has_its_own_place() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
            let is_token = Class::INPUT.contains(&class) || Class::OUTPUT.contains(&class);
            assert_eq!(class.is_token(), is_token, "{class:?}");
            let wider = class.wider();
            for group in [Class::INPUT.as_slice(), &Class::OUTPUT] {
                assert!(wider.is_none_or(|it| group.contains(&it) == group.contains(&class)));
            }
        }
    }
}
