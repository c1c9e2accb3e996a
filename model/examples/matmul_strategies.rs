//! Times the matrix products of Qwen2-Audio-7B with every kernel that cubek has for them, and checks some of the results.
//!
//!     cargo run --release -p idk-model --features cuda --example matmul_strategies [-- SHAPE]
//!
//! Without autotune burn takes `auto`, the first row of each shape. `scripts/gpu-check.sh --only matmul` prints torch's times of the
//! same shapes next to these. SHAPE is a number of the list below; without it all of them are run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::Handle;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy as Levels;
use cubek::matmul::multi_level::components::tile::TileMatmulKind::{Cmma, Mma};
use cubek::matmul::multi_level::routines::batch::double_buffering::DoubleBufferingArgs;
use cubek::matmul::multi_level::routines::batch::ordered_double_buffering::OrderedSelectionArgs;
use cubek::matmul::multi_level::routines::batch::simple::SimpleArgs;
use cubek::matmul::multi_level::routines::batch::specialized::SpecializedStrategy;
use cubek::matmul::routine::BlueprintStrategy::Inferred;
use cubek::matmul::strategy::Strategy;
use cubek::std::InputBinding;
use half::bf16;

/// Elements of each result that are computed again in float64.
const CHECKED: usize = 24;
/// A result is wrong if it is off by more than this many times the root of the number of terms.
const TOLERANCE: f64 = 0.02;

/// A product `[m, k] x [k, n]`; the second factor as the transpose of a weight `[n, k]`, or as it lies.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    k: usize,
    n: usize,
    transposed: bool,
}

const fn shape(m: usize, k: usize, n: usize, transposed: bool) -> Shape {
    Shape { m, k, n, transposed }
}

/// A training row, its gradient, a step of 64 sequences, a prefill of ten questions, the encoder on one and on sixteen clips.
const SHAPES: [Shape; 9] = [
    shape(352, 4096, 11008, true),
    shape(352, 11008, 4096, false),
    shape(64, 4096, 4096, true),
    shape(64, 11008, 4096, true),
    shape(3520, 4096, 11008, true),
    shape(1500, 1280, 5120, true),
    shape(24000, 1280, 5120, true),
    shape(64, 4096, 32000, true),
    shape(64, 128, 256, true),
];

fn strategies() -> Vec<(&'static str, Strategy)> {
    let simple = |tile_matmul, multi_rows| SimpleArgs { multi_rows, tile_matmul };
    let ordered = |tile_matmul, rows| OrderedSelectionArgs {
        partition_k: Some(2),
        row_count: Some(rows),
        rows_per_plane: Some(2),
        tile_matmul,
    };
    let double = |tile_matmul, specialized| DoubleBufferingArgs { specialized, tile_matmul };
    let specialized = |tile_matmul| SpecializedStrategy { tile_matmul };
    vec![
        ("auto", Strategy::Auto),
        ("simple cmma, many rows", Levels::SimpleCyclicCmma(Inferred(simple(Cmma, true))).into()),
        ("simple mma", Levels::SimpleCyclicMma(Inferred(simple(Mma, false))).into()),
        ("simple mma, many rows", Levels::SimpleCyclicMma(Inferred(simple(Mma, true))).into()),
        ("ordered cmma", Levels::OrderedDoubleCmma(Inferred(ordered(Cmma, 4))).into()),
        ("ordered mma", Levels::OrderedDoubleMma(Inferred(ordered(Mma, 4))).into()),
        ("ordered mma, 8 rows", Levels::OrderedDoubleMma(Inferred(ordered(Mma, 8))).into()),
        ("double mma", Levels::DoubleCyclicMma(Inferred(double(Mma, false))).into()),
        ("double mma, specialized", Levels::DoubleCyclicMma(Inferred(double(Mma, true))).into()),
        ("double tma cmma", Levels::DoubleTmaCmma(Inferred(double(Cmma, false))).into()),
        ("double tma mma", Levels::DoubleTmaMma(Inferred(double(Mma, false))).into()),
        ("specialized tma mma", Levels::SpecializedTmaMma(Inferred(specialized(Mma))).into()),
        ("specialized mma", Levels::SpecializedCyclicMma(Inferred(specialized(Mma))).into()),
        ("simple tma mma", Levels::SimpleTmaMma(Inferred(Default::default())).into()),
        ("without stages", Levels::Gemm(Inferred(Default::default())).into()),
    ]
}

/// Numbers in [-1, 1) from a fixed sequence.
fn numbers(count: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bf16::from_f32((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

fn binding(handle: &Handle, shape: [usize; 2], strides: [usize; 2]) -> TensorBinding {
    TensorBinding {
        handle: handle.clone().binding(),
        strides: strides.into_iter().collect(),
        shape: shape.to_vec().into(),
        tiling: Default::default(),
    }
}

fn wait(client: &Client) {
    let mut done = pin!(client.sync());
    while let Poll::Pending = done.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::thread::yield_now();
    }
}

/// One product, its factors on the host and on the device.
struct Product<'a> {
    client: &'a Client,
    shape: Shape,
    a: Vec<bf16>,
    b: Vec<bf16>,
    on_device: [Handle; 3],
}

impl<'a> Product<'a> {
    fn new(client: &'a Client, shape: Shape) -> Self {
        let Shape { m, k, n, .. } = shape;
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let upload = |values: &[bf16]| client.create_from_slice(bytemuck::cast_slice(values));
        let on_device = [upload(&a), upload(&b), client.empty(2 * m * n)];
        Self { client, shape, a, b, on_device }
    }

    fn launch(&self, strategy: &Strategy) -> Result<(), MatmulSetupError> {
        let Shape { m, k, n, transposed } = self.shape;
        let [a, b, out] = &self.on_device;
        let dtype = bf16::elem_type_native();
        let strides = if transposed { [1, k] } else { [n, 1] };
        let globals = MatmulGlobalElems { lhs: dtype, rhs: dtype, out: dtype };
        launch_ref(
            strategy,
            self.client,
            InputBinding::new(binding(a, [m, k], [k, 1]), dtype),
            InputBinding::new(binding(b, [k, n], strides), dtype),
            binding(out, [m, n], [n, 1]),
            &mut MatmulElems::from_globals(&globals),
        )
    }

    /// The greatest error of some elements, in roots of the number of terms; infinite if nothing can be read.
    fn error(&self) -> f64 {
        let Shape { m, k, n, transposed } = self.shape;
        let Ok(bytes) = self.client.read_one(self.on_device[2].clone()) else { return f64::INFINITY };
        let found: &[bf16] = bytemuck::cast_slice(&bytes);
        let of_place = |place: usize| {
            let (row, column) = ((place * 7919 + 13) % m, (place * 104_729 + 7) % n);
            let term = |at: usize| {
                let b = if transposed { self.b[column * k + at] } else { self.b[at * n + column] };
                self.a[row * k + at].to_f64() * b.to_f64()
            };
            let expected: f64 = (0..k).map(term).sum();
            (found[row * n + column].to_f64() - expected).abs() / (k as f64).sqrt()
        };
        (0..CHECKED).map(of_place).fold(0.0, f64::max)
    }

    /// Seconds per launch, once it is compiled.
    fn seconds(&self, strategy: &Strategy) -> Option<f64> {
        let (mut launches, start) = (0_u32, Instant::now());
        while start.elapsed().as_secs_f64() < 0.03 && launches < 400 {
            for _ in 0..8 {
                self.launch(strategy).ok()?;
            }
            wait(self.client);
            launches += 8;
        }
        Some(start.elapsed().as_secs_f64() / f64::from(launches))
    }

    /// A row of the table.
    fn row(&self, strategy: &Strategy) -> String {
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| self.launch(strategy))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return format!("cannot: {}", first_words(&format!("{error:?}"))),
            Err(_) => return "panics".to_owned(),
        }
        wait(self.client);
        let first = start.elapsed().as_secs_f64();
        let error = self.error();
        if error > TOLERANCE {
            return format!("WRONG: off by {error:.3} roots of the number of terms");
        }
        let Some(seconds) = self.seconds(strategy) else { return "fails when repeated".to_owned() };
        let Shape { m, k, n, .. } = self.shape;
        let flops = 2.0 * m as f64 * k as f64 * n as f64;
        format!(
            "{:9.1} us {:6.1} TFLOP/s, first {first:.2} s, off by {error:.4}",
            1e6 * seconds,
            flops / seconds / 1e12
        )
    }
}

fn first_words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn main() {
    let chosen: Option<usize> = std::env::args().nth(1).and_then(|number| number.parse().ok());
    let client = cubecl::Device::Cuda(Default::default()).client();
    for (_, &shape) in SHAPES.iter().enumerate().filter(|(index, _)| chosen.is_none_or(|only| only == *index))
    {
        let Shape { m, k, n, transposed } = shape;
        println!("{m} x {k} x {n}{}", if transposed { ", weight [out, in]" } else { ", weight [in, out]" });
        let product = Product::new(&client, shape);
        for (name, strategy) in strategies() {
            println!("  {name:24} {}", product.row(&strategy));
        }
    }
}
