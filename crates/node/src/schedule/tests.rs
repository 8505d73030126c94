//! The schedule in simulated time, with threads as the pool has them.

use super::*;

const MS: Duration = Duration::from_millis(1);
const NEVER: Duration = Duration::from_hours(1000);
/// The time for which the pool waits.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// A node whose devices take a fixed time each.
struct Node {
    now: Instant,
    /// The time of a read of each device, by its index.
    times: Vec<Duration>,
    schedule: Schedule<usize, usize, ()>,
    /// The reads under way, with the times of their ends.
    reads: Vec<(Job<usize>, Instant)>,
    max_threads: usize,
    /// The number of reads of each device that began.
    begun: Vec<usize>,
}

/// The answer to a request.
struct Answer {
    took: Duration,
    freshness: Vec<Freshness>,
}

impl Node {
    fn new(times: &[Duration]) -> Self {
        Self::on_bus(times, |_| None)
    }

    fn on_bus(times: &[Duration], bus: impl Fn(usize) -> Option<Bus>) -> Self {
        let mut schedule = Schedule::default();
        schedule.set_devices((0..times.len()).collect(), |index| Found {
            device: *index,
            bus: bus(*index),
        });
        Self {
            now: Instant::now(),
            times: times.to_vec(),
            schedule,
            reads: Vec::new(),
            max_threads: 0,
            begun: vec![0; times.len()],
        }
    }

    /// A thread takes the next device.
    fn take(&mut self) {
        if let Some(job) = self.schedule.next(self.now) {
            let index = job.device;
            self.begun[index] += 1;
            self.reads.push((job, self.now + self.times[index]));
            self.max_threads = self.max_threads.max(self.reads.len());
        }
    }

    fn start_thread(&mut self) {
        if self.schedule.needs_thread(self.now, 0) {
            self.take();
        }
    }

    /// Lets time pass until then, or until a read returns; its thread goes on with the next one.
    fn advance(&mut self, until: Instant) {
        let first = (0..self.reads.len()).min_by_key(|index| self.reads[*index].1);
        match first.filter(|index| self.reads[*index].1 <= until) {
            Some(index) => {
                let (job, end) = self.reads.swap_remove(index);
                self.now = self.now.max(end);
                let took = self.times[job.device];
                self.schedule.finish(job, (), took, self.now);
                self.take();
            }
            None => self.now = until,
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.advance(until);
        }
    }

    fn request(&mut self) -> Answer {
        let began = self.now;
        self.schedule.request(began);
        let mut tick = began;
        while self.schedule.is_awaiting() && self.now < began + MAX_WAIT {
            if self.now >= tick {
                self.start_thread();
                tick = self.now + TAKEOVER;
            }
            self.advance(tick.min(began + MAX_WAIT));
        }
        for _ in 0..4 {
            self.start_thread();
        }
        let devices = self.schedule.devices(self.now);
        Answer {
            took: self.now - began,
            freshness: devices.iter().map(|device| device.freshness).collect(),
        }
    }
}

impl Answer {
    fn current(&self) -> usize {
        let is_current = |freshness: &&Freshness| **freshness == Freshness::Current;
        self.freshness.iter().filter(is_current).count()
    }

    /// The age of the oldest value; `None` if a device has none.
    fn oldest(&self) -> Option<Duration> {
        let age = |freshness: &Freshness| match freshness {
            Freshness::Current => Some(Duration::ZERO),
            Freshness::Slow(age) | Freshness::Hanging(age) => Some(*age),
            Freshness::Silent | Freshness::Unread => None,
        };
        self.freshness
            .iter()
            .map(age)
            .try_fold(Duration::ZERO, |oldest, age| Some(oldest.max(age?)))
    }
}

#[test]
fn usual_node_needs_one_thread() {
    let mut node = Node::new(&[MS / 10; 20]);
    for _ in 0..5 {
        let answer = node.request();
        assert_eq!(answer.current(), 20);
        assert!(answer.took <= 3 * MS, "{:?}", answer.took);
        node.pass(2000 * MS);
    }
    assert_eq!(node.max_threads, 1);
    assert_eq!(node.begun, [5; 20]);
}

#[test]
fn hung_devices_cost_one_wait() {
    // Any three of twenty.
    for (first, second, third) in [(0, 1, 2), (0, 9, 19), (17, 18, 19), (5, 6, 7)] {
        let mut times = vec![MS / 10; 20];
        for hung in [first, second, third] {
            times[hung] = NEVER;
        }
        let mut node = Node::new(&times);
        let answer = node.request();
        assert_eq!((answer.took, answer.current()), (MAX_WAIT, 17));
        assert_eq!(answer.freshness[second], Freshness::Silent);
        for _ in 0..100 {
            node.pass(10_000 * MS);
            let answer = node.request();
            assert_eq!(answer.current(), 17);
            assert!(answer.took <= 5 * MS, "{:?}", answer.took);
        }
        assert!(node.begun[first] == 1 && node.max_threads <= 4);
    }
}

#[test]
fn device_that_hangs_later_is_left() {
    let mut node = Node::new(&[MS; 4]);
    node.request();
    node.times[2] = NEVER;
    node.pass(2000 * MS);
    assert_eq!(node.request().took, MAX_WAIT);
    node.pass(2000 * MS);
    let answer = node.request();
    assert!(answer.took <= 5 * MS && answer.current() == 3);
    // Its last value was read before the request in which it hung.
    let age = answer.oldest().unwrap();
    assert!(age > 4000 * MS && age < 6000 * MS, "{age:?}");
    assert_eq!(answer.freshness[2], Freshness::Hanging(age));
}

#[test]
fn device_comes_back() {
    let mut node = Node::new(&[MS, 400_000 * MS]);
    assert_eq!(node.request().freshness[1], Freshness::Silent);
    node.pass(400_000 * MS);
    let answer = node.request();
    // Its first value can be as old as the read.
    assert!(matches!(answer.freshness[1], Freshness::Hanging(age) if age >= 400_000 * MS));
    // It is left alone for ten minutes, then read beside the requests.
    node.pass(590_000 * MS);
    node.request();
    assert_eq!(node.begun[1], 1);
    node.pass(20_000 * MS);
    node.times[1] = MS;
    assert!(node.request().took <= 5 * MS);
    assert_eq!(node.begun[1], 2);
    node.pass(1000 * MS);
    assert_eq!(node.request().current(), 2);
}

#[test]
fn pauses_grow_while_it_hangs() {
    let mut node = Node::new(&[10_000 * MS]);
    let mut begun = Vec::new();
    for second in 0..2400 {
        let before = node.begun[0];
        node.request();
        if node.begun[0] > before {
            begun.push(second);
        }
        node.pass(1000 * MS);
    }
    let pauses: Vec<i32> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(
        pauses[0] < 40 && pauses.last().unwrap() > &550,
        "{pauses:?}"
    );
}

#[test]
fn sixty_slow_disks_are_all_read() {
    for interval in [500, 2000, 10_000, 30_000] {
        let mut node = Node::new(&[[MS / 10; 5].as_slice(), &[60 * MS; 60]].concat());
        for _ in 0..50 {
            let answer = node.request();
            assert!(answer.took <= MAX_WAIT);
            let oldest = answer.oldest().unwrap();
            assert!(oldest <= 10_000 * MS, "{interval} ms: {oldest:?}");
            node.pass(interval * MS);
        }
        assert!(node.max_threads <= MAX_READS);
    }
}

#[test]
fn too_many_disks_take_turns() {
    // Ten times as many as can be read within a wait.
    let mut node = Node::new(&[200 * MS; 900]);
    for _ in 0..20 {
        node.request();
        node.pass(2000 * MS);
    }
    for _ in 0..20 {
        let oldest = node.request().oldest().unwrap();
        assert!(oldest <= 20_000 * MS, "{oldest:?}");
        node.pass(2000 * MS);
    }
}

#[test]
fn bus_is_used_by_one_read() {
    let one_wire = |index| (index > 0).then(|| Bus::Serial("w1_bus_master1".to_owned()));
    let mut node = Node::on_bus(&[[MS].as_slice(), &[950 * MS; 23]].concat(), one_wire);
    let answer = node.request();
    assert_eq!(answer.freshness[0], Freshness::Current);
    assert!(answer.freshness.contains(&Freshness::Unread));
    let mut oldest = None;
    for _ in 0..100 {
        node.pass(2000 * MS);
        let answer = node.request();
        assert!(answer.took <= 5 * MS, "{:?}", answer.took);
        assert_eq!(answer.freshness[0], Freshness::Current);
        oldest = answer.oldest();
    }
    assert!(oldest.unwrap() < 30_000 * MS, "{oldest:?}");
    assert!(node.max_threads <= 2);
}

#[test]
fn hung_device_frees_its_bus() {
    let mut node = Node::on_bus(&[NEVER, MS], |_| Some(i2c()));
    assert_eq!(node.request().freshness[1], Freshness::Unread);
    node.pass(10_000 * MS);
    assert!(node.request().took <= 5 * MS);
    node.pass(2 * MS);
    assert!(matches!(node.request().freshness[1], Freshness::Slow(_)));
}

fn i2c() -> Bus {
    Bus::Serial("i2c-0".to_owned())
}

#[test]
fn held_bus_costs_one_wait() {
    let mut node = Node::on_bus(&[MS; 9], |index| (index > 0).then(i2c));
    node.request();
    node.times = [[MS].as_slice(), &[NEVER; 8]].concat();
    let mut waits = 0;
    for _ in 0..50 {
        node.pass(10_000 * MS);
        let answer = node.request();
        assert_eq!(answer.freshness[0], Freshness::Current);
        waits += u32::from(answer.took > 5 * MS);
    }
    assert_eq!(waits, 1);
}

#[test]
fn dead_adapter_costs_no_other_device() {
    // Eighty disks of one adapter, ten of another, then the processor.
    let bus = |index| match index {
        0..80 => Some(Bus::Host("host0".to_owned())),
        80..90 => Some(Bus::Host("host1".to_owned())),
        _ => None,
    };
    let times = [[NEVER; 80].as_slice(), &[MS; 10], &[MS / 10]].concat();
    let mut node = Node::on_bus(&times, bus);
    assert_eq!(node.request().freshness[90], Freshness::Current);
    for round in 0..100 {
        node.pass(10_000 * MS);
        let answer = node.request();
        assert_eq!(answer.freshness[90], Freshness::Current);
        assert!(round == 0 || answer.took <= 15 * MS, "{:?}", answer.took);
        assert!(round == 0 || answer.current() == 11, "{round}");
    }
    assert!(node.max_threads <= MAX_READS_OF_HOST + MAX_READS);
}

#[test]
fn adapter_that_dies_costs_one_wait() {
    let mut node = Node::on_bus(&[MS; 80], |_| Some(Bus::Host("host0".to_owned())));
    node.request();
    // One of its disks, then all.
    for dead in [1, 80] {
        node.times = [vec![NEVER; dead], vec![MS; 80 - dead]].concat();
        let mut waits = 0;
        for round in 0..20 {
            node.pass(10_000 * MS);
            let answer = node.request();
            waits += u32::from(answer.took == MAX_WAIT);
            assert!(round == 0 || answer.current() == 80 - dead, "{round}");
        }
        assert_eq!(waits, 1);
    }
}

#[test]
fn hung_scan_is_not_awaited_again() {
    let mut node = Node::new(&[MS, MS]);
    node.request();
    node.schedule.request(node.now);
    let job = node.schedule.next(node.now).unwrap();
    // The scan took long, the values did not.
    node.now += 400_000 * MS;
    node.schedule.finish(job, (), MS, node.now);
    node.pass(700_000 * MS);
    node.times = vec![NEVER; 2];
    node.schedule.request(node.now);
    let awaited = |index: usize| node.schedule.entries[&node.schedule.listed[index]].is_awaited;
    assert!(!awaited(0) && awaited(1));
}

#[test]
fn overdue_device_has_its_turn() {
    let times = [[200 * MS; 10].as_slice(), &[300 * MS]].concat();
    let mut node = Node::on_bus(&times, |_| Some(i2c()));
    for round in 0..200 {
        let answer = node.request();
        let oldest = answer.oldest();
        assert!(round < 10 || oldest.unwrap() < 40_000 * MS, "{oldest:?}");
        node.pass(1000 * MS);
    }
}

#[test]
fn threads_are_bounded() {
    let mut node = Node::new(&[NEVER; 200]);
    for _ in 0..200 {
        node.request();
        node.pass(10_000 * MS);
    }
    assert!(node.max_threads <= MAX_THREADS + RESERVED_THREADS);
}

#[test]
fn old_value_is_awaited_again() {
    let mut node = Node::new(&[600 * MS]);
    assert_eq!(node.request().took, 600 * MS);
    node.pass(3_600_000 * MS);
    let answer = node.request();
    assert_eq!((answer.took, answer.current()), (600 * MS, 1));
}

#[test]
fn listed_devices_keep_their_values() {
    let mut node = Node::new(&[MS; 3]);
    node.request();
    let found = |index: &usize| Found {
        device: *index,
        bus: None,
    };
    node.schedule.set_devices(vec![2, 0], found);
    let devices = node.schedule.devices(node.now);
    let keys: Vec<_> = devices
        .iter()
        .map(|device| (*device.key, device.value.is_some()))
        .collect();
    assert_eq!(keys, [(2, true), (0, true)]);
    // A read of a device that is gone meanwhile is dropped.
    node.schedule.request(node.now);
    node.take();
    node.schedule.set_devices(vec![1], found);
    node.pass(10 * MS);
    assert_eq!(node.request().current(), 1);
}
