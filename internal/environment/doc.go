// Package environment turns holdfast.yaml, the HOLDFAST_ variables and the
// global flags into one plain value, and says precisely where they are wrong.
//
//	flags, variables ──┐
//	                   ├─> Load ─> Config ─> Acting, Select ─> Environment
//	holdfast.yaml ─────┘              └────> Credential
//
// What holds:
//
//  1. Flags win over variables, variables over the file.
//  2. ${NAME} is expanded in values only, once, and what it brings is taken
//     literally: a password from a variable may hold any character, also inside
//     a URL.
//  3. The whole file is checked by Load. Only what depends on the machine (a
//     variable that is not set, a password file that cannot be read) waits until
//     Select asks for that environment: one file serves several machines, of
//     which each knows its own secrets.
//  4. A URL never holds a password, and no error or String shows one.
//  5. Paths are absolute and clean; relative ones count from the file, those of
//     flags and variables from the current directory.
//
// Nothing here starts goroutines, and a Config is not changed once it is loaded.
package environment
