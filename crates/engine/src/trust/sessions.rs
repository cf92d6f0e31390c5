//! When a code may be used: how long it lives, how often it may be tried, and that there is one pairing at a time.
//!
//! Owns the codes that are shown and the tokens that are configured, in memory only: a restart shows no code, so a crash
//! gives no tries back. Whether a code was right is proven by `bonfire-net`; who may invite whom is `pairs`'.

use std::collections::BTreeMap;
use std::time::Duration;

use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::{DeviceRole, PAIR_VERSION, PairPart, PairRefusal, PairStart, TokenName};

use super::secret::{PairCode, PairToken, Secret};
use crate::budget::TokenBucket;
use crate::report::ErrorClass;
use crate::time::Instant;

/// How long a code may be typed after it was shown: time to walk to the other machine.
pub const CODE_LIFETIME: Duration = Duration::from_secs(120);

/// Attempts at one code. The fourth needs a new one, which a person has to ask for.
pub const TRIES: u8 = 3;

/// How long an attempt may be under way. It takes milliseconds; who stalls holds up nobody for longer than this.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);

/// Attempts at tokens that may come at once, and then one a second: guessing is hopeless, and this bounds what it costs.
const TOKEN_BURST: u32 = 5;

/// Tokens that may be configured: one for each player of a kiosk, and some.
const TOKENS_MAX: usize = 64;

/// What a code or token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Terms {
    /// The other device becomes one of this player's.
    Invite {
        /// The player, which this device holds.
        player: PlayerId,
        /// What the other device becomes.
        role: DeviceRole,
    },
    /// This device becomes one of the player's whom the other side names.
    Join {
        /// What this device becomes; an invitation to anything else is refused.
        role: DeviceRole,
    },
}

impl Terms {
    /// The part of this device.
    #[must_use]
    pub const fn part(&self) -> PairPart {
        match self {
            Self::Invite { .. } => PairPart::Invites,
            Self::Join { .. } => PairPart::Joins,
        }
    }
}

/// Why a pairing cannot begin on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A code is shown already.
    #[error("a code is shown already")]
    Shown,
    /// A pairing is under way.
    #[error("a pairing is under way")]
    UnderWay,
    /// Too many tokens.
    #[error("more than {TOKENS_MAX} tokens")]
    TooManyTokens,
    /// Another token has the same public part.
    #[error("another token begins with the same characters")]
    SameName,
}

impl SessionError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Refused
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Shown | Self::UnderWay)
    }
}

/// One attempt, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt(u64);

/// An attempt that may be answered: it is counted already.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Its number, to be handed back.
    pub attempt: Attempt,
    /// What the other side has to know.
    pub secret: Secret,
    /// What it is for.
    pub terms: Terms,
}

/// The code that is shown, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// When it ends.
    pub until: Instant,
    /// Attempts that are left.
    pub tries_left: u8,
    /// What it is for.
    pub terms: Terms,
}

#[derive(Debug, Clone)]
struct OpenCode {
    code: PairCode,
    shown: Shown,
}

#[derive(Debug, Clone, Copy)]
struct UnderWay {
    attempt: Attempt,
    since: Instant,
}

/// Every pairing of this device.
#[derive(Debug, Clone)]
pub struct Sessions {
    code: Option<OpenCode>,
    tokens: BTreeMap<TokenName, (PairToken, Terms)>,
    token_attempts: TokenBucket,
    under_way: Option<UnderWay>,
    /// The token that the attempt under way uses, as long as it is not revoked.
    by_token: Option<TokenName>,
    attempts: u64,
}

impl Sessions {
    /// No code, no token, nothing under way.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            code: None,
            tokens: BTreeMap::new(),
            token_attempts: TokenBucket::new(now, 1, TOKEN_BURST),
            under_way: None,
            by_token: None,
            attempts: 0,
        }
    }

    /// Shows a code. Returns when it ends.
    ///
    /// # Errors
    /// When one is shown already, or a pairing is under way.
    pub fn show(&mut self, now: Instant, code: PairCode, terms: Terms) -> Result<Shown, SessionError> {
        self.is_free(now)?;
        let shown = Shown { until: now + CODE_LIFETIME, tries_left: TRIES, terms };
        self.code = Some(OpenCode { code, shown });
        Ok(shown)
    }

    /// A person types a code on this device: nothing else may be paired meanwhile.
    ///
    /// # Errors
    /// As `show`.
    pub fn type_code(&mut self, now: Instant) -> Result<Attempt, SessionError> {
        self.is_free(now)?;
        Ok(self.start(now, None))
    }

    /// The code is shown no more; an attempt at it that is under way comes to nothing.
    pub fn hide(&mut self) {
        if self.code.take().is_some() && self.by_token.is_none() {
            self.under_way = None;
        }
    }

    /// Lets a token be used until it is revoked.
    ///
    /// # Errors
    /// When there are too many, or one with the same public part.
    pub fn add_token(&mut self, token: PairToken, terms: Terms) -> Result<(), SessionError> {
        if self.tokens.contains_key(token.name()) {
            return Err(SessionError::SameName);
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(SessionError::TooManyTokens);
        }
        self.tokens.insert(token.name().clone(), (token, terms));
        Ok(())
    }

    /// A token may be used no more; an attempt that uses it comes to nothing. Whether there was one.
    pub fn revoke_token(&mut self, name: &TokenName) -> bool {
        if self.by_token.as_ref() == Some(name) {
            (self.by_token, self.under_way) = (None, None);
        }
        self.tokens.remove(name).is_some()
    }

    /// Another device began a pairing. What is returned was counted: answering it, breaking off or crashing makes no
    /// difference any more.
    ///
    /// # Errors
    /// The refusal to send. Nothing was counted then, because nothing is answered that a guess could be checked with.
    pub fn begin(&mut self, now: Instant, start: &PairStart) -> Result<Begun, PairRefusal> {
        if start.version != PAIR_VERSION {
            return Err(PairRefusal::Version);
        }
        self.expire(now);
        let terms = match &start.token {
            None => self.code.as_ref().map(|c| c.shown.terms),
            Some(name) => self.tokens.get(name).map(|(_, terms)| *terms),
        }
        .ok_or(PairRefusal::NoCode)?;
        if terms.part() == start.part {
            return Err(PairRefusal::SamePart);
        }
        if self.under_way.is_some() {
            return Err(PairRefusal::Busy);
        }
        let secret = match (&start.token, &mut self.code) {
            (None, Some(open)) => {
                open.shown.tries_left = open.shown.tries_left.checked_sub(1).ok_or(PairRefusal::NoCode)?;
                Secret::Code(open.code.clone())
            }
            (Some(name), _) => {
                self.token_attempts.take(now).map_err(|_| PairRefusal::Busy)?;
                let (token, _) = self.tokens.get(name).ok_or(PairRefusal::NoCode)?;
                Secret::Token(token.clone())
            }
            (None, None) => return Err(PairRefusal::NoCode),
        };
        Ok(Begun { attempt: self.start(now, start.token.clone()), secret, terms })
    }

    /// The other side has proven the secret. A code is used up by that, whatever comes of the invitation.
    ///
    /// # Errors
    /// The refusal to send, when the code was hidden or the token revoked meanwhile, or the attempt took too long.
    pub fn proven(&mut self, now: Instant, attempt: Attempt) -> Result<(), PairRefusal> {
        self.expire(now);
        if self.under_way.is_none_or(|u| u.attempt != attempt) {
            return Err(PairRefusal::NoCode);
        }
        if self.by_token.is_none() {
            self.code = None;
        }
        Ok(())
    }

    /// An attempt is over, one way or the other. Returns whether its code has ended with it, unproven: the tries are used up.
    pub fn ended(&mut self, now: Instant, attempt: Attempt) -> bool {
        if self.under_way.is_some_and(|u| u.attempt == attempt) {
            (self.under_way, self.by_token) = (None, None);
        }
        let had_code = self.code.as_ref().is_some_and(|c| c.shown.tries_left == 0);
        self.expire(now);
        had_code && self.code.is_none()
    }

    /// The code that is shown.
    #[must_use]
    pub fn shown(&self, now: Instant) -> Option<Shown> {
        self.code.as_ref().map(|c| c.shown).filter(|s| now < s.until && (s.tries_left > 0 || self.under_way.is_some()))
    }

    /// Whether an attempt is under way.
    #[must_use]
    pub fn is_under_way(&self, now: Instant) -> bool {
        self.under_way.is_some_and(|u| now < u.since + ATTEMPT_LIMIT)
    }

    fn is_free(&mut self, now: Instant) -> Result<(), SessionError> {
        self.expire(now);
        if self.under_way.is_some() {
            return Err(SessionError::UnderWay);
        }
        if self.code.is_some() { Err(SessionError::Shown) } else { Ok(()) }
    }

    fn start(&mut self, now: Instant, by_token: Option<TokenName>) -> Attempt {
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        (self.under_way, self.by_token) = (Some(UnderWay { attempt, since: now }), by_token);
        attempt
    }

    /// Lets go of what time, or the last try, has ended. A code whose attempt is under way lives until that is over: it was
    /// typed in time.
    fn expire(&mut self, now: Instant) {
        if self.under_way.is_some() && !self.is_under_way(now) {
            (self.under_way, self.by_token) = (None, None);
        }
        let at_it = self.under_way.is_some() && self.by_token.is_none();
        if !at_it && self.code.as_ref().is_some_and(|c| c.shown.until <= now || c.shown.tries_left == 0) {
            self.code = None;
        }
    }
}

#[cfg(test)]
mod tests;
