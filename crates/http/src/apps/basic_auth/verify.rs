use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use brim_service::ClientKey;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::oneshot;

use super::cache::{Cache, Digest};
use super::users::UserFile;

/// Verifications that may wait for their turn.
const WAITING: usize = 256;
/// The same of one client: whoever tries many passwords makes nobody else wait for long.
const WAITING_PER_CLIENT: usize = 4;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A name and a password, as they came: `name:password`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    text: Vec<u8>,
    colon: usize,
}

impl Credentials {
    /// `None` where there is no colon; or a NUL, which has a meaning of its own in bcrypt.
    pub(super) fn new(text: Vec<u8>) -> Option<Self> {
        if text.contains(&0) {
            return None;
        }
        let colon = text.iter().position(|byte| *byte == b':')?;
        Some(Self { text, colon })
    }

    pub(super) fn user(&self) -> &[u8] {
        self.text.get(..self.colon).unwrap_or_default()
    }

    pub(super) fn password(&self) -> &[u8] {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Rejected,
    /// Too many wait already.
    Busy,
}

/// Verifies passwords, shared by all workers. The costly part happens on the blocking pool, a few
/// at a time, in the order in which they came.
pub(super) struct Verifier {
    /// Random, so that what is kept of passwords is worth nothing to who should find it.
    key: hmac::Key,
    file: RwLock<UserFile>,
    queue: Mutex<Queue>,
    verifiers: usize,
}

struct Queue {
    cache: Cache,
    /// How often the file has changed: what was begun before does not count for the cache.
    edition: u64,
    jobs: VecDeque<Job>,
    /// Who waits for a verdict, for jobs that wait and those in progress.
    asking: HashMap<Digest, Vec<oneshot::Sender<bool>>>,
    clients: HashMap<ClientKey, usize>,
    running: usize,
}

struct Job {
    digest: Digest,
    credentials: Credentials,
    client: Option<ClientKey>,
}

impl Verifier {
    pub(super) fn new(file: UserFile, cache_time: Duration, verifiers: usize) -> Arc<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.unwrap_or_else(|_| {
            let seed: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(32).collect();
            hmac::Key::new(hmac::HMAC_SHA256, &seed)
        });
        Arc::new(Self {
            key,
            file: RwLock::new(file),
            queue: Mutex::new(Queue {
                cache: Cache::new(cache_time),
                edition: 0,
                jobs: VecDeque::new(),
                asking: HashMap::new(),
                clients: HashMap::new(),
                running: 0,
            }),
            verifiers,
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these are a user's name and password.
    pub(super) async fn verify(
        self: &Arc<Self>,
        credentials: Credentials,
        client: Option<ClientKey>,
    ) -> Verdict {
        let digest = self.digest(&credentials);
        let (told, verdict) = oneshot::channel();
        {
            let queue = &mut *self.queue();
            if let Some(accepted) = queue.cache.get(&digest, Instant::now()) {
                return verdict_of(accepted);
            }
            if let Some(asking) = queue.asking.get_mut(&digest) {
                // The same is asked already, as by a browser on its six connections.
                asking.push(told);
            } else {
                let own = client.and_then(|client| queue.clients.get(&client)).copied();
                if queue.jobs.len() >= WAITING || own.unwrap_or(0) >= WAITING_PER_CLIENT {
                    return Verdict::Busy;
                }
                if let Some(client) = client {
                    *queue.clients.entry(client).or_default() += 1;
                }
                queue.asking.insert(digest, vec![told]);
                queue.jobs.push_back(Job { digest, credentials, client });
                if queue.running < self.verifiers {
                    queue.running += 1;
                    let verifier = self.clone();
                    tokio::task::spawn_blocking(move || verifier.work());
                }
            }
        }
        verdict.await.map_or(Verdict::Busy, verdict_of)
    }

    fn digest(&self, credentials: &Credentials) -> Digest {
        let mut digest = Digest::default();
        let tag = hmac::sign(&self.key, &credentials.text);
        digest.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        digest
    }

    /// Verifies until nobody waits.
    fn work(&self) {
        while let Some((job, edition)) = self.next() {
            let accepted = self.check(&job.credentials);
            let asking = {
                let queue = &mut *self.queue();
                if queue.edition == edition {
                    queue.cache.put(job.digest, accepted, Instant::now());
                }
                queue.end(&job)
            };
            for told in asking {
                let _ = told.send(accepted);
            }
        }
    }

    /// The next job that somebody still waits for; `None`, and one worker less, at the end.
    fn next(&self) -> Option<(Job, u64)> {
        let queue = &mut *self.queue();
        while let Some(job) = queue.jobs.pop_front() {
            let asking = queue.asking.get(&job.digest);
            if asking.is_some_and(|asking| asking.iter().any(|told| !told.is_closed())) {
                return Some((job, queue.edition));
            }
            queue.end(&job);
        }
        queue.running -= 1;
        None
    }

    /// The costly part; as costly for names that nobody has.
    fn check(&self, credentials: &Credentials) -> bool {
        let (hash, known) = {
            let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
            match file.users().hash(credentials.user()) {
                Some(hash) => (hash.to_owned(), true),
                None => (file.users().decoy(self.pick(credentials.user())), false),
            }
        };
        // Compares in constant time.
        bcrypt::verify(credentials.password(), &hash).unwrap_or(false) && known
    }

    /// A number that is always the same for a name, and that nobody else can guess.
    fn pick(&self, name: &[u8]) -> u64 {
        let tag = hmac::sign(&self.key, name);
        tag.as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes)
    }

    /// Looks after the file, on a thread of its own, as long as somebody uses it.
    pub(super) fn watch(self: &Arc<Self>) {
        let watched = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("auth-file".to_owned());
        if let Err(error) = thread.spawn(move || watch(&watched)) {
            tracing::warn!(%error, "changes of the file of users will not be noticed");
        }
    }

    /// Reads the file again if it has changed. One that is of no use changes nothing.
    fn refresh(&self) {
        let path = {
            let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
            if !file.changed() {
                return;
            }
            file.path().to_owned()
        };
        match UserFile::open(path.clone()) {
            Ok(file) => {
                for complaint in file.complaints() {
                    tracing::warn!("{}:{complaint}", path.display());
                }
                tracing::info!(path = %path.display(), "the file of users has changed");
                *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
                let queue = &mut *self.queue();
                queue.edition += 1;
                queue.cache.clear();
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!("{path}: {error}; the users that were read before still count");
            }
        }
    }
}

fn watch(watched: &Weak<Verifier>) {
    loop {
        std::thread::sleep(LOOK);
        let Some(verifier) = watched.upgrade() else { return };
        verifier.refresh();
    }
}

impl Queue {
    /// A job is over; who asked for its verdict.
    fn end(&mut self, job: &Job) -> Vec<oneshot::Sender<bool>> {
        if let Some(client) = job.client
            && let Some(count) = self.clients.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        self.asking.remove(&job.digest).unwrap_or_default()
    }
}

fn verdict_of(accepted: bool) -> Verdict {
    if accepted { Verdict::Accepted } else { Verdict::Rejected }
}
