use std::path::Path;

use serde::Deserialize;

use super::*;

const BOTH: [Quantisation; 2] = [Quantisation::Int8, Quantisation::Nf4];

#[derive(Deserialize)]
struct Expected {
    nf4_table: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 2],
    weights: Vec<f32>,
    nf4: Quantised,
    int8: Quantised,
}

#[derive(Deserialize)]
struct Quantised {
    codes: Vec<i32>,
    absmax: Vec<f32>,
    values: Vec<f64>,
}

/// What `tests/fixtures/make_quantised.py` computes.
fn expected() -> Expected {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/quantised/cases.json");
    idk_common::json::read_json(&path).unwrap()
}

/// The codes of a matrix, one after the other, without those that fill up a row's last block.
fn codes(blocks: &blocks::PackedCodes, [out, input]: [usize; 2], quantisation: Quantisation) -> Vec<i32> {
    let (per_word, bits) = (quantisation.codes_per_word(), quantisation.bits());
    let per_row = blocks.words.len() / out;
    let of_row = |words: &[i32]| -> Vec<i32> {
        (0..input).map(|i| (words[i / per_word] >> (i % per_word * bits)) & ((1 << bits) - 1)).collect()
    };
    blocks.words.chunks(per_row).flat_map(of_row).collect()
}

fn weight(values: &[f32], shape: [usize; 2], quantisation: Quantisation) -> QuantisedWeight {
    QuantisedWeight::new(values, shape, quantisation, &Device::flex())
}

fn values(weight: &QuantisedWeight) -> Vec<f32> {
    weight.part(0..weight.dims()[0], 0..weight.blocks()).into_data().iter::<f32>().collect()
}

/// Numbers between -1 and 1 without a pattern.
fn noise(count: usize) -> Vec<f32> {
    let mut rng = idk_common::seed::Rng::new(5);
    (0..count).map(|_| (2.0 * rng.uniform() - 1.0) as f32).collect()
}

#[test]
fn the_table_of_nf4_is_that_of_the_formula_of_bitsandbytes() {
    let expected = expected().nf4_table;
    assert_eq!(expected.len(), NF4.len());
    for (value, expected) in NF4.iter().zip(expected) {
        assert!((f64::from(*value) - expected).abs() < 1e-6, "{value} {expected}");
    }
    assert_eq!([NF4[0], NF4[7], NF4[15]], [-1.0, 0.0, 1.0]);
}

#[test]
fn codes_scales_and_values_are_those_of_the_formula() {
    for case in expected().cases {
        for quantisation in BOTH {
            let expected = if quantisation == Quantisation::Nf4 { &case.nf4 } else { &case.int8 };
            let blocks = quantise(&case.weights, case.shape, quantisation);
            let what = format!("{} {}", case.name, quantisation.name());
            assert_eq!(codes(&blocks, case.shape, quantisation), expected.codes, "{what}");
            assert_eq!(blocks.absmax, expected.absmax, "{what}");
            let found = values(&weight(&case.weights, case.shape, quantisation));
            assert_eq!(found.len(), expected.values.len(), "{what}");
            for (found, expected) in found.into_iter().zip(&expected.values) {
                let difference = (f64::from(found) - expected).abs();
                assert!(difference <= 1e-6 * expected.abs(), "{what}: {found} {expected}");
            }
        }
    }
}

#[test]
fn a_value_is_off_by_at_most_half_the_gap_between_its_neighbours() {
    let (shape, numbers) = ([40, 192], noise(40 * 192));
    for (quantisation, gap) in [(Quantisation::Int8, 1.0 / 127.0), (Quantisation::Nf4, 1.0 - 0.696_192_8)] {
        let weight = weight(&numbers, shape, quantisation);
        let absmax: Vec<f32> = weight.absmax().to_data().iter::<f32>().collect();
        let mut largest = 0.0_f32;
        for (index, (found, number)) in values(&weight).into_iter().zip(&numbers).enumerate() {
            let error = (found - number).abs() / absmax[index / BLOCK];
            assert!(error <= gap / 2.0 + 1e-6, "{quantisation:?}: {found} {number}");
            largest = largest.max(error);
        }
        assert!(largest > gap / 4.0, "{quantisation:?}: the bound is not met by far: {largest}");
    }
}

#[test]
fn what_codes_stand_for_is_quantised_to_itself() {
    for quantisation in BOTH {
        // Every value of the table, with the ends in each block, at scales from the smallest numbers to the largest.
        let table: Vec<f32> = quantisation.table().into_iter().filter(|value| value.abs() <= 1.0).collect();
        for scale in [1e-38_f32, 3.7e-9, 0.02, 1.0, 1234.5, 3e38] {
            let mut numbers: Vec<f32> = Vec::new();
            for part in table.chunks(BLOCK - 1) {
                numbers.push(scale);
                numbers.extend((0..BLOCK - 1).map(|i| part[i % part.len()] * scale));
            }
            let shape = [numbers.len() / BLOCK, BLOCK];
            let found = values(&weight(&numbers, shape, quantisation));
            assert_eq!(found, numbers, "{quantisation:?} {scale}");
        }
    }
}

#[test]
fn blocks_of_zeros_stay_zero_and_the_smallest_numbers_stay_finite() {
    for quantisation in BOTH {
        let mut numbers = vec![0.0; 130];
        numbers[129] = f32::from_bits(1); // the smallest number there is
        let found = values(&weight(&numbers, [1, 130], quantisation));
        assert_eq!(found, numbers, "{quantisation:?}");
        let negative = vec![-f32::MAX; 3];
        assert_eq!(values(&weight(&negative, [3, 1], quantisation)), negative);
    }
}

#[test]
fn any_part_of_a_matrix_is_that_part_of_its_values() {
    let shape = [5, 200];
    for quantisation in BOTH {
        let weight = weight(&noise(1000), shape, quantisation);
        let whole = values(&weight);
        for (rows, blocks) in [(0..5, 0..4), (1..3, 0..2), (4..5, 3..4), (0..2, 1..4)] {
            let columns = blocks.start * BLOCK..(blocks.end * BLOCK).min(200);
            let part: Vec<f32> = weight.part(rows.clone(), blocks).into_data().iter::<f32>().collect();
            let expected: Vec<f32> =
                rows.flat_map(|row| &whole[row * 200..][columns.clone()]).copied().collect();
            assert_eq!(part, expected, "{quantisation:?}");
        }
    }
}

#[test]
fn a_matrix_takes_the_bytes_that_are_counted_for_it() {
    for (quantisation, shape, expected) in [
        // 64 numbers are 32 or 64 bytes of codes and 4 of their scale.
        (Quantisation::Nf4, [3, 128], 3 * 2 * 36),
        (Quantisation::Int8, [3, 128], 3 * 2 * 68),
        (Quantisation::Nf4, [2, 65], 2 * 2 * 36),
    ] {
        assert_eq!(quantisation.bytes(shape), expected);
        let weight = weight(&noise(shape[0] * shape[1]), shape, quantisation);
        let held = weight.codes().to_data().as_bytes().len() + weight.absmax().to_data().as_bytes().len();
        assert_eq!(held, expected, "{quantisation:?} {shape:?}");
    }
}
