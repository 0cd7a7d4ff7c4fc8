// Package demosite is a small but real web site to take snapshots of: an HTTP
// application with articles, comments, orders and uploads, on SQLite and a
// directory, under traffic, that can afterwards be compared row by row and byte
// by byte.
//
//	Create -> Site -> Handler <- Traffic
//	            \-> history: what every committed change made of which row and file
//	Verify(restored copy, history) -> every row and file that differs
//
// The site counts its committed changes and keeps the count in the database. For
// each change it writes a line into its history, a file outside of all that a
// snapshot sees: the hash of each row and each file as the application handed it
// over. A restored copy says which change it ends with, and the history says
// what the site was then. So a copy taken under traffic is compared exactly, and
// with something else than itself.
//
// Invariants, which hold after every committed change and which Invariants
// checks of any copy, without a history:
//
//  1. Of each product, stock + all ordered quantities = what was supplied.
//  2. Every author, article, customer and product that a row refers to exists.
//  3. Every row of uploads has its file, of that size and BLAKE3. A file is whole
//     and in its place before its row is committed, and never altered or removed;
//     so files seen no earlier than the rows can only be too many, not too few.
package demosite
