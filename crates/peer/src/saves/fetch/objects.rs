//! Objects of one snapshot from several sources at once.
//!
//! Owns which object was asked of whom. Each source is given some that nobody else is asked for at the moment; what it
//! leaves out, or breaks off before, goes to the others. No object is asked of a source twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_disk::saves::{Lease, SaveError};
use bonfire_engine::Report;
use bonfire_net::Connection;
use bonfire_proto::limits::OBJECTS_PER_REQUEST_MAX;
use bonfire_proto::message::{Chunk, Request, Response};
use bonfire_proto::message_save::GetObjects;
use bonfire_proto::{Digest, ObjectRef, PlayerId, SnapshotId};
use bytes::{Bytes, BytesMut};
use tokio::task::JoinSet;

use super::super::Saves;
use super::{Fault, Fetch};
use crate::errors;

/// Sources that are asked at once: two fill a LAN, and a few more make up for slow ones.
const SOURCES_AT_ONCE: usize = 4;
/// Bytes asked for at once, and so held in memory for a source until they are durable: an interrupted fetch loses no more.
const BYTES_AT_ONCE: u64 = 8 << 20;

/// What is still to be had.
#[derive(Debug, Default)]
struct Queue {
    free: VecDeque<ObjectRef>,
    /// By object, who was asked for it in vain.
    asked: BTreeMap<ObjectRef, BTreeSet<usize>>,
    /// Sources that have nothing more of what was free when they were asked.
    out: BTreeSet<usize>,
    /// Sources that are asked nothing more.
    faulty: BTreeSet<usize>,
    left: usize,
}

impl Queue {
    /// Objects to ask a source for; none when it has nothing more to give.
    fn take(&mut self, source: usize) -> Vec<ObjectRef> {
        let (mut some, mut others, mut bytes) = (Vec::new(), VecDeque::new(), 0u64);
        while let Some(object) = self.free.pop_front() {
            let is_full = some.len() == OBJECTS_PER_REQUEST_MAX || (bytes >= BYTES_AT_ONCE && !some.is_empty());
            if is_full {
                others.push_back(object);
                break;
            }
            if self.asked.entry(object).or_default().insert(source) {
                bytes += u64::from(object.len);
                some.push(object);
            } else {
                others.push_back(object);
            }
        }
        others.append(&mut self.free);
        self.free = others;
        some
    }
}

/// One source's part of the work.
struct Worker {
    saves: Saves,
    connection: Connection,
    player: PlayerId,
    snapshot: SnapshotId,
    lease: Lease,
    queue: Arc<Mutex<Queue>>,
    number: usize,
}

/// How a worker ended.
enum Ended {
    /// It has nothing more to give.
    Out,
    Fault(Fault),
    /// The disk here.
    Disk(Report),
}

/// Brings objects here. Returns whether all are.
pub(super) async fn bring(
    fetch: &mut Fetch<'_>,
    snapshot: SnapshotId,
    missing: Vec<ObjectRef>,
    lease: &Lease,
) -> Result<bool, Report> {
    let left = missing.len();
    let queue = Arc::new(Mutex::new(Queue { free: missing.into(), left, ..Queue::default() }));
    loop {
        let mut workers = JoinSet::new();
        let is_live = |n: &usize| !lock(&queue).out.contains(n) && !lock(&queue).faulty.contains(n);
        let live = fetch.sources.iter().enumerate().filter(|(n, s)| !s.is_lost && is_live(n));
        for (number, source) in live.take(SOURCES_AT_ONCE) {
            let worker = Worker {
                saves: fetch.saves.clone(),
                connection: source.connection.clone(),
                player: fetch.line.player,
                snapshot,
                lease: lease.clone(),
                queue: queue.clone(),
                number,
            };
            workers.spawn(async move { (number, worker.run().await) });
        }
        if workers.is_empty() {
            return Ok(false);
        }
        while let Some(ended) = workers.join_next().await {
            match ended {
                Ok((number, Ended::Out)) => {
                    lock(&queue).out.insert(number);
                }
                Ok((number, Ended::Fault(fault))) => {
                    // Whatever it was, this source is done with; what it left goes to those that come after.
                    lock(&queue).faulty.insert(number);
                    fetch.fault(number, fault);
                }
                Ok((_, Ended::Disk(error))) => return Err(error),
                Err(error) => return Err(crate::task::bug(&format!("fetching objects failed: {error}"))),
            }
        }
        let mut queue = lock(&queue);
        if queue.left == 0 {
            return Ok(true);
        }
        // One that ran out while another still held objects, which that one then gave back, is asked for these.
        let Queue { free, asked, out, .. } = &mut *queue;
        out.retain(|n| free.iter().all(|o| asked.get(o).is_some_and(|asked| asked.contains(n))));
    }
}

impl Worker {
    async fn run(self) -> Ended {
        loop {
            let some = lock(&self.queue).take(self.number);
            if some.is_empty() {
                return Ended::Out;
            }
            let mut came = Vec::new();
            let asked = self.ask(&some, &mut came).await;
            let here: BTreeSet<ObjectRef> = came.iter().map(|(o, _): &(ObjectRef, Bytes)| *o).collect();
            if let Err(error) = self.put(came).await {
                return Ended::Disk(error);
            }
            {
                let mut queue = lock(&self.queue);
                queue.left -= here.len();
                queue.free.extend(some.into_iter().filter(|o| !here.contains(o)));
            }
            if let Err(fault) = asked {
                return Ended::Fault(fault);
            }
        }
    }

    async fn put(&self, came: Vec<(ObjectRef, Bytes)>) -> Result<(), Report> {
        if came.is_empty() {
            return Ok(());
        }
        let lease = self.lease.clone();
        let stored = self.saves.on_disk(move |own| own.store_objects(&came, &lease)).await?;
        stored.map_err(|e: SaveError| errors::save(&e))
    }

    /// Asks for objects. What came before the source broke off, or lied, is kept: each is its own proof.
    async fn ask(&self, some: &[ObjectRef], came: &mut Vec<(ObjectRef, Bytes)>) -> Result<(), Fault> {
        let request = Request::GetObjects(GetObjects {
            player_id: self.player,
            snapshot_id: self.snapshot,
            objects: some.to_vec(),
        });
        let mut answer = self.connection.request(&request).await.map_err(|e| Fault::of(&e))?;
        let mut next = 0;
        loop {
            let chunk: Chunk = match answer.next().await.map_err(|e| Fault::of(&e))? {
                Some(Response::Chunk(chunk)) => chunk,
                Some(Response::Error(e)) => return Err(Fault::of_answer(&self.connection, &e)),
                Some(_) => return Err(Fault::protocol(&self.connection, "unexpected message")),
                None => return Ok(()),
            };
            let at = usize::try_from(chunk.index).unwrap_or(usize::MAX);
            let object = some.get(at).filter(|_| at >= next).copied();
            let Some(object) = object.filter(|o| o.len == chunk.len && o.hash == chunk.hash) else {
                return Err(Fault::protocol(&self.connection, "another object than was asked for"));
            };
            next = at + 1;
            let len = usize::try_from(object.len).unwrap_or(usize::MAX);
            let mut bytes = BytesMut::with_capacity(len);
            while bytes.len() < len {
                match answer.read_raw(len - bytes.len()).await.map_err(|e| Fault::of(&e))? {
                    Some(part) => bytes.extend_from_slice(&part),
                    None => return Err(Fault::protocol(&self.connection, "ended inside an object")),
                }
            }
            // A millisecond at most: an object is a mebibyte at most.
            if Digest(*blake3::hash(&bytes).as_bytes()) != object.hash {
                return Err(Fault::protocol(&self.connection, "an object is not what it should be"));
            }
            came.push((object, bytes.freeze()));
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(n: u8, len: u32) -> ObjectRef {
        ObjectRef { hash: Digest([n; 32]), len }
    }

    fn queue(objects: Vec<ObjectRef>) -> Queue {
        Queue { left: objects.len(), free: objects.into(), ..Queue::default() }
    }

    #[test]
    fn no_object_is_asked_of_a_source_twice_and_none_of_two_at_once() {
        let mut queue = queue(vec![object(1, 9), object(2, 9)]);
        assert_eq!(queue.take(0), [object(1, 9), object(2, 9)]);
        assert_eq!(queue.take(1), []);
        queue.free.push_back(object(2, 9));
        assert_eq!(queue.take(0), [], "it was asked for this one");
        assert_eq!(queue.take(1), [object(2, 9)]);
    }

    #[test]
    fn a_request_is_bounded_by_count_and_by_bytes() {
        let large: Vec<ObjectRef> = (0..20).map(|n| object(n, 1 << 20)).collect();
        assert_eq!(queue(large).take(0).len(), 8);
        let small: Vec<ObjectRef> = (1..=300).map(|len| ObjectRef { hash: Digest([1; 32]), len }).collect();
        assert_eq!(queue(small).take(0).len(), OBJECTS_PER_REQUEST_MAX);
    }
}
