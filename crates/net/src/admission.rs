//! How many strangers may knock: counts of handshakes and connections, in all and for each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::tuning::Tuning;

/// Counts what was let in. A `Place` gives its count back when it goes.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    half_open: usize,
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// What to do with a newcomer.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Let it in.
    Admit(Place),
    /// Have it prove its address first.
    Validate,
    /// Turn it away.
    Refuse,
}

/// One admitted newcomer.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    half_open: bool,
}

impl Admission {
    pub(crate) fn judge(self: &Arc<Self>, tuning: &Tuning, address: IpAddr, validated: bool) -> Verdict {
        let mut counts = self.lock();
        if counts.half_open >= tuning.half_open_max && !validated {
            return Verdict::Validate;
        }
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.all >= tuning.connections_max || here >= tuning.connections_per_address {
            return Verdict::Refuse;
        }
        counts.all += 1;
        counts.half_open += 1;
        counts.by_address.insert(address, here + 1);
        Verdict::Admit(Place { admission: self.clone(), address, half_open: true })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is over.
    pub(crate) fn opened(&mut self) {
        if std::mem::take(&mut self.half_open) {
            self.admission.lock().half_open -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.opened();
        let mut counts = self.admission.lock();
        counts.all -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(admission: &Arc<Admission>, tuning: &Tuning, last: u8) -> Verdict {
        admission.judge(tuning, IpAddr::from([10, 0, 0, last]), false)
    }

    #[test]
    fn caps_each_address_and_gives_the_place_back() {
        let tuning = Tuning { connections_per_address: 2, ..Tuning::default() };
        let admission = Arc::new(Admission::default());
        let (a, b) = (admit(&admission, &tuning, 1), admit(&admission, &tuning, 1));
        assert!(matches!((&a, &b), (Verdict::Admit(_), Verdict::Admit(_))));
        assert!(matches!(admit(&admission, &tuning, 1), Verdict::Refuse));
        assert!(matches!(admit(&admission, &tuning, 2), Verdict::Admit(_)));
        drop(a);
        assert!(matches!(admit(&admission, &tuning, 1), Verdict::Admit(_)));
    }

    #[test]
    fn asks_for_proof_of_address_only_while_many_handshakes_are_under_way() {
        let tuning = Tuning { half_open_max: 1, ..Tuning::default() };
        let admission = Arc::new(Admission::default());
        let Verdict::Admit(mut first) = admit(&admission, &tuning, 1) else { panic!("refused the first") };
        assert!(matches!(admit(&admission, &tuning, 2), Verdict::Validate));
        assert!(matches!(admission.judge(&tuning, IpAddr::from([10, 0, 0, 2]), true), Verdict::Admit(_)));
        first.opened();
        assert!(matches!(admit(&admission, &tuning, 3), Verdict::Admit(_)));
    }
}
