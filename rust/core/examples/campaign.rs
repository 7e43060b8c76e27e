//! Writes the provenance logs of a made-up campaign of realistic shape.
//!
//! Per detector and visit there are five steps that mostly take one dataset of the step before; about a
//! hundred warps go into each coadd, and coadds into difference images. Ids are of version 7, as the butler
//! makes them. Some inputs are never used, some outputs are not written, and one quantum in a hundred fails:
//! whatever needs its outputs is not run, or runs without them.
//!
//!     cargo run --release --example campaign -- FOLDER QUANTA [--hosts N] [--seed N] [--lines]

use std::error::Error;
use std::path::{Path, PathBuf};

use quantum_butler_core::log::{Attempt, DataId, DataIdValue, Heading, LogWriter, Storage};
use quantum_butler_core::provenance::{Key, Provenance, RecordsBuilder, Value};

const RUN: &str = "LSSTCam/runs/DRP/w_2026_46/DM-51234";
const DATASTORE: &str = "FileDatastore@<butlerRoot>";
const CLASS: &str = "lsst.daf.butler.datastore.stored_file_info.StoredFileInfo";
const TABLE: &str = "file_datastore_records";
const FITS: (&str, &str) = ("lsst.obs.base.formatters.fitsExposure.FitsExposureFormatter", "ExposureF");
const CATALOG: (&str, &str) = ("lsst.daf.butler.formatters.parquet.ParquetFormatter", "ArrowAstropy");
const METADATA: (&str, &str) = ("lsst.daf.butler.formatters.json.JsonFormatter", "TaskMetadata");
const LOG: (&str, &str) = ("lsst.daf.butler.formatters.logs.ButlerLogRecordsFormatter", "ButlerLogRecords");

/// Quanta of each visit and detector.
const STEPS: u64 = 5;
const DETECTORS: u64 = 189;
const BANDS: [&str; 6] = ["u", "g", "r", "i", "z", "y"];
/// Warps of one coadd.
const DEPTH: u64 = 100;
/// When the graph was made, in milliseconds.
const MADE: u64 = 1_793_000_000_000;
/// Ids that a graph builder makes in a millisecond.
const IDS_PER_MILLISECOND: u64 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut places, mut hosts, mut seed, mut storage) = (Vec::new(), 8, 1, Storage::Frames);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--hosts" => hosts = arguments.next().ok_or("--hosts needs a number")?.parse()?,
            "--seed" => seed = arguments.next().ok_or("--seed needs a number")?.parse()?,
            "--lines" => storage = Storage::Lines,
            _ => places.push(argument),
        }
    }
    let [folder, quanta] = places.as_slice() else {
        return Err("usage: campaign FOLDER QUANTA [--hosts N] [--seed N] [--lines]".into());
    };
    let (folder, quanta): (PathBuf, u64) = (folder.into(), quanta.parse()?);
    std::fs::create_dir_all(&folder)?;
    let campaign = Campaign::new(seed, quanta);
    let written = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..hosts)
            .map(|host| {
                let (campaign, folder) = (&campaign, &folder);
                scope.spawn(move || {
                    campaign.write(folder, host, hosts, storage).map_err(|error| error.to_string())
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker does not panic"))
            .sum::<Result<u64, _>>()
    })?;
    println!("{written}");
    Ok(())
}

/// What is done to which part of the sky.
struct Campaign {
    seed: u64,
    visits: u64,
    coadds: u64,
    /// Quanta of the last visit that are too many.
    surplus: u64,
}

/// A dataset or quantum: of which step, and the number within that.
#[derive(Clone, Copy)]
struct Item(u64, u64);

/// A quantum on its way to a log.
struct Quantum<'a> {
    step: u64,
    label: &'a str,
    number: u64,
    data_id: DataId,
    /// What the names of files have of the data ID.
    name: String,
    inputs: Vec<u128>,
    /// Inputs that the quantum cannot do without, at the front.
    needed: usize,
    outputs: &'a [(&'a str, (&'a str, &'a str))],
}

impl Campaign {
    fn new(seed: u64, quanta: u64) -> Self {
        // Each detector of a visit has one warp, and each DEPTH of these a coadd with two more steps.
        let units = quanta * DEPTH / (STEPS * DEPTH + 3);
        let visits = units.div_ceil(DETECTORS).max(1);
        let coadds = (visits * DETECTORS / DEPTH).max(1);
        Self {
            seed,
            visits,
            coadds,
            surplus: (visits * DETECTORS * STEPS + 3 * coadds).saturating_sub(quanta),
        }
    }

    fn write(&self, folder: &Path, host: u64, hosts: u64, storage: Storage) -> Result<u64, Box<dyn Error>> {
        let ending = if storage == Storage::Lines { "jsonl" } else { "jsonl.zst" };
        let path = folder.join(format!("host-{host:03}.{ending}"));
        let (mut log, _) = LogWriter::open(&path, storage, false)?;
        let mut written = 0;
        // First each visit, then the coadds, then what needs these.
        let visits = || (0..self.visits).filter(|visit| visit % hosts == host);
        for visit in visits() {
            // Only steps at the end of the work are left out, which nothing needs.
            for step in 0..3 {
                for detector in 0..DETECTORS {
                    written += self.run(&self.of_detector(step, visit, detector), &mut log)?;
                }
            }
        }
        for coadd in (0..self.coadds).filter(|coadd| coadd % hosts == host) {
            for step in 5..8 {
                written += self.run(&self.of_coadd(step, coadd), &mut log)?;
            }
        }
        for visit in visits() {
            for step in 3..5 {
                for detector in 0..DETECTORS {
                    let left = (self.visits - 1 - visit) * 2 * DETECTORS + (4 - step) * DETECTORS + DETECTORS
                        - 1
                        - detector;
                    if left >= self.surplus {
                        written += self.run(&self.of_detector(step, visit, detector), &mut log)?;
                    }
                }
            }
        }
        log.finish()?;
        Ok(written)
    }

    /// A number that looks random and depends on these and the seed only.
    fn random(&self, step: u64, number: u64, what: u64) -> u64 {
        let mut mixed = self.seed;
        for value in [step, number, what] {
            mixed = (mixed ^ value).wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
        }
        mixed
    }

    fn chance(&self, Item(step, number): Item, what: u64, percent: u64) -> bool {
        self.random(step, number, 1000 + what) % 100 < percent
    }

    /// The id of an output (or, as the 99th, of the quantum itself), of version 7.
    fn id(&self, Item(step, number): Item, output: u64) -> u128 {
        let order = (step * self.visits * DETECTORS + number) * 8 + output % 8;
        let milliseconds = MADE + order / IDS_PER_MILLISECOND;
        let (a, b) = (self.random(step, number, 2 * output), self.random(step, number, 2 * output + 1));
        let high = milliseconds << 16 | 0x7000 | (a & 0xfff);
        u128::from(high) << 64 | u128::from(b >> 2 | 1 << 63)
    }

    fn fails(&self, item: Item) -> bool {
        self.chance(item, 0, 1)
    }

    /// Whether an output is written, given that its quantum ran.
    fn writes(&self, item: Item, output: u64, outputs: u64) -> bool {
        // A failed quantum leaves its log, which is last; and a few lack what is optional.
        output == outputs - 1 || (!self.fails(item) && (output != 1 || !self.chance(item, 1, 2)))
    }

    /// Whether a quantum ran: what it cannot do without was there.
    fn runs(&self, Item(step, number): Item) -> bool {
        let made = |step| self.runs(Item(step, number)) && !self.fails(Item(step, number));
        match step {
            0 => true,
            1 => made(0),
            2 | 3 => made(1),
            4 => made(3),
            5 => true,
            _ => made(step - 1),
        }
    }

    /// Each step takes an hour, and each quantum up to a minute.
    fn attempt(&self, item: Item) -> Attempt {
        let begin =
            (MADE * 1000 + item.0 * 3_600_000_000 + self.random(item.0, item.1, 30) % 3_600_000_000) as i64;
        let end = begin + (self.random(item.0, item.1, 31) % 60_000_000) as i64;
        Attempt { begin: Some(begin), end: Some(end), failed: Some(self.fails(item)) }
    }

    fn of_detector(&self, step: u64, visit: u64, detector: u64) -> Quantum<'static> {
        let number = visit * DETECTORS + detector;
        let band = BANDS[(self.random(90, visit, 0) % 6) as usize];
        let day = 20_261_101 + visit / 600;
        let exposure = day * 100_000 + visit % 600;
        let neighbour = |shift: u64| visit * DETECTORS + (detector + shift) % DETECTORS;
        let calibration = |kind: u64| self.id(Item(80 + kind, detector), 0);
        let shared = |kind: u64, of: u64| self.id(Item(70 + kind, of), 0);
        let output = |step: u64, number: u64, output: u64| self.id(Item(step, number), output);
        let (inputs, needed) = match step {
            0 => {
                let mut inputs = vec![output(60, number, 0), shared(0, 0)];
                inputs.extend((0..8).map(calibration));
                (inputs, 1)
            }
            1 => {
                let shard = self.random(91, visit, detector / 9);
                let mut inputs = vec![output(0, number, 0), shared(0, 0)];
                inputs.extend((0..8).map(|n| shared(1 + n / 4, (shard + n % 4) % 20_000)));
                (inputs, 1)
            }
            2 => {
                let mut inputs: Vec<_> = [0, 1, 9, 10].map(|shift| output(1, neighbour(shift), 0)).into();
                inputs.extend([0, 1, 9, 10].map(|shift| output(1, neighbour(shift), 1)));
                inputs.extend([shared(3, visit), shared(4, 0)]);
                (inputs, 1)
            }
            3 => {
                let mut inputs =
                    vec![output(1, number, 0), output(1, number, 2), output(1, number, 3), shared(3, visit)];
                let coadd = number / DEPTH;
                inputs.extend((0..5).map(|n| output(5, (coadd + n) % self.coadds, 0)));
                inputs.push(shared(0, 0));
                (inputs, 1)
            }
            _ => (
                vec![
                    output(3, number, 0),
                    output(3, number, 1),
                    output(3, number, 2),
                    output(1, number, 0),
                    output(1, number, 2),
                    output(1, number, 3),
                    shared(3, visit),
                    shared(0, 0),
                ],
                1,
            ),
        };
        let (label, outputs) = DETECTOR_STEPS[step as usize];
        let (dimension, detector_name) = if step == 0 { ("exposure", detector) } else { ("visit", detector) };
        let raft = format!("R{:02}_S{}{}", detector / 9, detector % 9 / 3, detector % 3);
        let mut data_id = vec![("instrument".to_owned(), DataIdValue::Text("LSSTCam".into()))];
        let mut name = format!("{band}_{exposure}_{raft}_LSSTCam");
        if step == 2 {
            let (tract, patch) = (number / 1000, number % 100);
            data_id = vec![("skymap".to_owned(), DataIdValue::Text("lsst_cells_v1".into()))];
            data_id.extend(sky(tract, patch));
            name = format!("{tract}_{patch}_{band}_{exposure}_LSSTCam_lsst_cells_v1");
        } else {
            data_id.push(("detector".to_owned(), DataIdValue::Int(detector_name as i64)));
        }
        data_id.push((dimension.to_owned(), DataIdValue::Int(exposure as i64)));
        Quantum { step, label, number, data_id, name, inputs, needed, outputs }
    }

    fn of_coadd(&self, step: u64, coadd: u64) -> Quantum<'static> {
        let (tract, patch, band) = (coadd / 600, coadd / 6 % 100, BANDS[(coadd % 6) as usize]);
        let skymap = self.id(Item(74, 0), 0);
        let (inputs, needed) = match step {
            5 => {
                let warps = coadd * DEPTH..(coadd + 1) * DEPTH;
                (warps.map(|warp| self.id(Item(2, warp), 0)).chain([skymap]).collect(), 0)
            }
            6 => (vec![self.id(Item(5, coadd), 0), skymap], 1),
            _ => {
                let bands = (0..6).map(|n| self.id(Item(6, (coadd / 6 * 6 + n) % self.coadds), 0));
                (
                    [self.id(Item(6, coadd), 0), self.id(Item(5, coadd), 0)]
                        .into_iter()
                        .chain(bands)
                        .chain([skymap])
                        .collect(),
                    1,
                )
            }
        };
        let (label, outputs) = COADD_STEPS[step as usize - 5];
        let mut data_id = vec![("skymap".to_owned(), DataIdValue::Text("lsst_cells_v1".into()))];
        data_id.extend(sky(tract, patch));
        data_id.push(("band".to_owned(), DataIdValue::Text(band.into())));
        let name = format!("{tract}_{patch}_{band}_lsst_cells_v1");
        Quantum { step, label, number: coadd, data_id, name, inputs, needed, outputs }
    }

    /// Whether an input that another quantum makes is there; all others always are.
    fn is_there(&self, quantum: &Quantum<'_>, input: usize) -> bool {
        let made = |step: u64, number: u64, output: u64, of: u64| {
            self.runs(Item(step, number)) && self.writes(Item(step, number), output, of)
        };
        let number = quantum.number;
        match (quantum.step, input as u64) {
            (2, n @ 0..8) => {
                let neighbour = number / DETECTORS * DETECTORS
                    + (number % DETECTORS + [0, 1, 9, 10][n as usize % 4]) % DETECTORS;
                made(1, neighbour, n / 4, 6)
            }
            (3, n @ 4..9) => made(5, (number / DEPTH + n - 4) % self.coadds, 0, 5),
            (4, n @ 0..3) => made(3, number, n, 5),
            (5, n @ 0..DEPTH) => made(2, number * DEPTH + n, 0, 5),
            (7, n @ 2..8) => made(6, (number / 6 * 6 + n - 2) % self.coadds, 0, 4),
            _ => true,
        }
    }

    fn run(&self, quantum: &Quantum<'_>, log: &mut LogWriter) -> Result<u64, Box<dyn Error>> {
        let item = Item(quantum.step, quantum.number);
        if !self.runs(item) {
            return Ok(0);
        }
        let there = |input: &usize| self.is_there(quantum, *input);
        let available: Vec<_> = (0..quantum.inputs.len()).filter(there).collect();
        // One in a dozen is looked at and not used; a quantum that failed has used little else.
        let is_used = |input: &usize| {
            let ignored = self.chance(item, 20 + *input as u64, 8);
            *input < quantum.needed || !(ignored || self.fails(item) && *input > 3)
        };
        let ids = |inputs: &[usize]| inputs.iter().map(|&input| quantum.inputs[input]).collect::<Vec<_>>();
        let used: Vec<_> = available.iter().copied().filter(is_used).collect();
        let number_of_outputs = quantum.outputs.len() as u64;
        let outputs: Vec<_> = (0..number_of_outputs).map(|output| self.id(item, output)).collect();
        let mut written: Vec<_> = (0..outputs.len())
            .filter(|&output| self.writes(item, output as u64, number_of_outputs))
            .map(|output| (outputs[output], output))
            .collect();
        written.sort_unstable();
        let mut records = RecordsBuilder::default();
        if !written.is_empty() {
            records.datastore(DATASTORE);
            records.dataset_ids(&written.iter().map(|one| one.0).collect::<Vec<_>>());
            records.class(CLASS);
        }
        for &(id, output) in &written {
            let (name, (formatter, storage_class)) = quantum.outputs[output];
            let name = name.replace('*', quantum.label);
            let ending = if formatter == FITS.0 {
                "fits"
            } else if formatter == CATALOG.0 {
                "parq"
            } else {
                "json"
            };
            let path =
                format!("{RUN}/{name}/{0}/{name}_{0}_{1}.{ending}", quantum.name, RUN.replace('/', "_"));
            let size = 1000
                + self.random(item.0, item.1, 500 + output as u64)
                    % if ending == "fits" { 30_000_000 } else { 60_000 };
            records.dataset(Key::Id(id));
            records.table(TABLE);
            records.row();
            records.cell("formatter", Value::Text(formatter));
            records.cell("path", Value::Text(&path));
            records.cell("storage_class", Value::Text(storage_class));
            records.cell("component", Value::Text("__NULL_STRING__"));
            records.cell("checksum", Value::Null);
            records.cell("file_size", Value::Int(size as i64));
            records.end_row();
        }
        let records = records.finish().ok_or("a dataset came twice")?;
        let actual = written.iter().map(|one| one.0).collect();
        let sets = [quantum.inputs.clone(), ids(&available), ids(&used), outputs, actual];
        let heading = Heading {
            quantum_id: self.id(item, 99),
            task_label: Some(quantum.label),
            data_id: Some(&quantum.data_id),
            attempt: self.attempt(item),
            ..Heading::default()
        };
        log.append(heading, &Provenance::new(sets, records).to_json(None))?;
        Ok(1)
    }
}

fn sky(tract: u64, patch: u64) -> [(String, DataIdValue<'static>); 2] {
    [("tract", tract), ("patch", patch)]
        .map(|(name, value)| (name.to_owned(), DataIdValue::Int(value as i64)))
}

type Step = (&'static str, &'static [(&'static str, (&'static str, &'static str))]);

/// Labels and outputs; a star stands for the label.
const DETECTOR_STEPS: [Step; 5] = [
    (
        "isr",
        &[
            ("post_isr_image", FITS),
            ("isrStatistics", CATALOG),
            ("oss_isr", FITS),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "calibrateImage",
        &[
            ("preliminary_visit_image", FITS),
            ("preliminary_visit_image_background", CATALOG),
            ("single_visit_star_footprints", CATALOG),
            ("single_visit_psf_star", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "makeDirectWarp",
        &[
            ("direct_warp", FITS),
            ("direct_warp_noise", FITS),
            ("direct_warp_masked_fraction", FITS),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "subtractImages",
        &[
            ("difference_image_predetection", FITS),
            ("template_matched", FITS),
            ("difference_kernel_sources", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "detectAndMeasureDiaSource",
        &[
            ("difference_image", FITS),
            ("dia_source_unfiltered", CATALOG),
            ("dia_source_detector", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
];

const COADD_STEPS: [Step; 3] = [
    (
        "assembleDeepCoadd",
        &[
            ("deep_coadd_predetection", FITS),
            ("deep_coadd_n_image", FITS),
            ("deep_coadd_input_map", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "detectCoaddPeaks",
        &[
            ("object_peak", CATALOG),
            ("deep_coadd_background", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
    (
        "measureObject",
        &[
            ("object_unforced_measurement", CATALOG),
            ("object_schema", CATALOG),
            ("*_metadata", METADATA),
            ("*_log", LOG),
        ],
    ),
];
