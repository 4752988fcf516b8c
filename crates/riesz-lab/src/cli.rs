//! The command line: one enum of verbs.
