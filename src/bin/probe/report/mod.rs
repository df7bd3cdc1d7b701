//! Reports: where they go and what ping and load have in common in them.
//!
//! A report goes to stdout in the format asked for, and its JSON document beside it to a file.

mod failure;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::exit::Fault;

pub(crate) use failure::Failure;

/// How a report is written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document at the end.
    Json,
    /// One JSON object for each probe or interval, and the document last.
    Ndjson,
}

/// Where the report goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Report")]
pub(crate) struct OutputArgs {
    /// How the report is written to stdout.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Write the JSON document here as well.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Where a report goes.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    file: Option<File>,
}

impl Output {
    /// Opens the file now: a run must not end with a report that has no place.
    pub(crate) fn open(args: &OutputArgs) -> Result<Output, Fault> {
        let create = |path: &PathBuf| {
            File::create(path).map_err(|error| {
                Fault::usage(format!("cannot write --output {}: {error}", path.display()))
            })
        };
        Ok(Output {
            format: args.format,
            file: args.output.as_ref().map(create).transpose()?,
        })
    }

    /// Writes the report: the document, or the text in its place. Each place gets it whether the other can take it or
    /// not.
    pub(crate) fn finish(&mut self, document: &Value, text: &str) -> io::Result<()> {
        let kept = match &mut self.file {
            Some(file) => writeln!(file, "{document:#}"),
            None => Ok(()),
        };
        self.print(document, text).and(kept)
    }

    fn print(&self, document: &Value, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text => out.write_all(text.as_bytes())?,
            Format::Json => writeln!(out, "{document:#}")?,
            Format::Ndjson => writeln!(out, "{document}")?,
        }
        out.flush()
    }
}
