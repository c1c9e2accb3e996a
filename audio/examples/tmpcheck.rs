use std::f64::consts::PI;
fn main(){
 let b=std::fs::read("audio/tests/data/tone.flac").unwrap();
 for cut in [8324usize,8325,8326,9000] { idk_common::atomic::write_atomic(std::path::Path::new("/tmp/idk/aud/cut"),&b[..cut]).unwrap();
 println!("{cut} {:?}", idk_audio::decode_file(std::path::Path::new("/tmp/idk/aud/cut")).err().map(|e|e.to_string())); }
 for n in ["audio/tests/data/tone.mp3","audio/tests/data/tone.ogg"] {
 let a=idk_audio::decode_file(std::path::Path::new(n)).unwrap();
 for lag in -2i64..=2 { let mut w=0.0f64; let mut wi=0; for i in 10..7990i64 { let e=(0.5*(2.0*PI*440.0*(i+lag) as f64/16000.0).sin()*(PI*i as f64/8000.0).sin()-a.samples[i as usize] as f64).abs(); if e>w {w=e;wi=i;} } println!("{n} lag {lag} {w} at {wi}"); } }
}
