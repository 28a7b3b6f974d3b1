//! Whether two kinds of requests can be told apart by how long they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Client, rounds};

/// How far the area under the curve of the best threshold may be from one half, which is to guess: a threshold that
/// puts each time into the one lot or the other. It is also the share of pairs, one of each lot, in which the second
/// takes longer.
const AREA: f64 = 0.05;
/// How far the medians may be from each other, whichever is more.
const MEDIANS: (f64, f64) = (0.002, 0.01);

/// What the times of two lots have to say about which is which.
#[derive(Debug)]
pub struct Likeness {
    /// The area under the curve.
    area: f64,
    area_bound: f64,
    /// By how many seconds the medians differ.
    gap: f64,
    gap_bound: f64,
}

impl Likeness {
    /// Compares two lots of the same size.
    pub fn of(one: &[Duration], other: &[Duration]) -> Self {
        assert_eq!(one.len(), other.len());
        let (one, other) = (sorted(one), sorted(other));
        let pooled = sorted_numbers([&one[..], &other].concat());
        let (absolute, relative) = MEDIANS;
        let gap_bound = f64::max(absolute, quantile(&one, 0.5) * relative);
        let by_chance = chance(&pooled);
        Self {
            area: area(&one, &other),
            area_bound: rounds(by_chance.0, AREA),
            gap: (quantile(&one, 0.5) - quantile(&other, 0.5)).abs(),
            gap_bound: rounds(gap_bound.max(by_chance.1), gap_bound),
        }
    }

    /// Whether nobody can tell them apart.
    pub fn is_indistinguishable(&self) -> bool {
        (self.area - 0.5).abs() <= self.area_bound && self.gap <= self.gap_bound
    }
}

/// Kinds of requests that are all answered alike.
pub struct Trials {
    /// Of the gateway.
    pub port: u16,
    /// The status and the body of every answer.
    pub answer: (u16, &'static str),
    /// A request of each kind, by the name of the kind.
    pub kinds: Vec<(&'static str, Arc<[u8]>)>,
}

impl Trials {
    /// How long requests of each kind take. They take turns, in an order that is drawn anew each time, so that whatever
    /// else the machine does meets all alike.
    pub async fn measure(&self, count: usize) -> Vec<Vec<Duration>> {
        let client = Client::new(&[self.port]);
        let mut times = vec![Vec::new(); self.kinds.len()];
        // The first round opens connections.
        for round in 0..=count {
            let mut order: Vec<_> =
                (0..self.kinds.len()).map(|index| (uuid::Uuid::new_v4(), index)).collect();
            order.sort_unstable();
            for (_, index) in order {
                let (name, request) = &self.kinds[index];
                let started = Instant::now();
                let heard = client.send(request).await.expect("the gateway answers");
                let took = started.elapsed();
                assert_eq!((heard.status, heard.body.as_str()), self.answer, "{name}");
                if round > 0 {
                    times[index].push(took);
                }
            }
        }
        times
    }

    /// Fails if requests of any kind can be told from those of the first by how long they take.
    pub async fn assert_alike(&self, count: usize) {
        let times = self.measure(count).await;
        let first = self.kinds[0].0;
        let likenesses = self.kinds.iter().zip(&times).skip(1).map(|((name, _), times_of_it)| {
            let likeness = Likeness::of(&times[0], times_of_it);
            println!("{name} against {first}: {likeness:?}");
            (name, likeness)
        });
        let told: Vec<_> = likenesses.filter(|(_, likeness)| !likeness.is_indistinguishable()).collect();
        assert!(told.is_empty(), "can be told from {first}: {told:?}");
    }
}

/// How far the area and the medians of two halves of these times are apart by chance, in all but one of some hundreds
/// of cases: three standard deviations. That of the area is the one of the U of Mann and Whitney, √((2n+1)/(12n²)). The
/// rank of a median, as a share of all, has 1/(2√n), so that of the distance of two is √2 times that; the times at
/// such ranks around the middle say how much it is in seconds. The few samples of the short tier cannot show less; the
/// 400 of the long tier can show what the catalogue asks for.
fn chance(pooled: &[f64]) -> (f64, f64) {
    let n = pooled.len() as f64 / 2.0;
    let ranks = 3.0 * f64::sqrt(2.0) / (2.0 * n.sqrt());
    let gap = quantile(pooled, 0.5 + ranks / 2.0) - quantile(pooled, 0.5 - ranks / 2.0);
    (3.0 * f64::sqrt((2.0 * n + 1.0) / (12.0 * n * n)), gap)
}

/// The share of pairs in which the other takes longer.
fn area(one: &[f64], other: &[f64]) -> f64 {
    let below = |time: f64| {
        let (less, same) = (one.partition_point(|own| *own < time), one.partition_point(|own| *own <= time));
        (less + same) as f64 / 2.0
    };
    other.iter().map(|time| below(*time)).sum::<f64>() / (one.len() * other.len()) as f64
}

fn sorted(times: &[Duration]) -> Vec<f64> {
    sorted_numbers(times.iter().map(Duration::as_secs_f64).collect())
}

fn sorted_numbers(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().checked_sub(1).expect("there are times");
    sorted[(last as f64 * share.clamp(0.0, 1.0)).round() as usize]
}

/// So many times between 70 and 80 milliseconds, later by `shift`, each with its own chance.
fn drawn(count: usize, shift: f64) -> Vec<Duration> {
    let share = || (uuid::Uuid::new_v4().as_u128() % 1_000_000) as f64 / 1_000_000.0;
    (0..count).map(|_| Duration::from_secs_f64(0.070 + shift + 0.010 * share())).collect()
}

#[test]
fn t_control_the_judge_tells_what_differs_and_nothing_else() {
    let count = rounds(40, 400);
    let share_told = |shift| {
        let told = |_: &usize| !Likeness::of(&drawn(count, 0.0), &drawn(count, shift)).is_indistinguishable();
        (0..200).filter(told).count() as f64 / 200.0
    };
    // A wrong password that takes five milliseconds of seventy more is always seen, none at all hardly ever.
    let (different, alike) = (share_told(0.005), share_told(0.0));
    assert!(different >= 0.95 && alike <= 0.10, "{different} {alike}");
    assert!((area(&[1.0, 2.0], &[2.0, 3.0]) - 0.875).abs() < 1e-9);
}
