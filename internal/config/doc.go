// Package config reads what an operator may set: an HCL file, environment
// variables over it, defaults under it. It answers either a complete, checked
// [Config] or every problem it found at once; nothing starts half-configured.
//
// # Where a value comes from
//
//	SYNCWORKER_SYNC__WAIT_TIMEOUT=45s     wins over
//	sync { wait_timeout = "30s" }         which wins over
//	Default()
//
// A variable is named after its key: SYNCWORKER_, the sections and the key in
// capitals, two underscores between them. Lists are separated by commas. A
// SYNCWORKER_ variable that names no key is an error, as is an unknown key in
// the file: a misspelt safety setting must not be a silent default.
//
// # One table
//
// Every key stands once in the table of options.go, with the field it fills,
// its limits and its explanation. config.hcl.example, the table in the README,
// the output of check-config and the names of the variables are all made from
// it, and tests hold the files to it.
//
// # Secrets
//
// Secrets are never values of keys. Keys name files, the files are read when
// the secret is needed, and what was read is a [Secret], which prints as
// "[hidden]".
package config
