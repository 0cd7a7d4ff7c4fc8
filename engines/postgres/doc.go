// Package postgres captures and restores one database of a PostgreSQL server as
// plain SQL. Rows are read and loaded by COPY over several connections; what
// defines them is written by pg_dump, as of the same snapshot.
//
// # What stands in a snapshot
//
// For a service called shop, a directory and a file:
//
//	shop/database.sql               how the database itself was created
//	shop/schema.sql                 what comes before the rows: extensions, types, tables, views, functions
//	shop/tables/public.orders.sql   the rows of table orders
//	shop/sequences.sql              where the sequences stand
//	shop/largeobjects.sql           the large objects
//	shop/after.sql                  what comes behind them: indexes, keys, triggers, rules, policies
//	shop/privileges.sql             whose things are, and who may use them
//	shop/accounts.sql               on request: the roles themselves
//	shop.sql                        schema.sql, every table, sequences.sql, largeobjects.sql, after.sql
//
// Each is a script for psql by itself, and shop.sql loads into any empty database
// of any name:
//
//	holdfast snapshot cat ID shop.sql | psql other
//
// Roles are the server's, so what names them stands apart. A table may be called
// anything; '/', '\', '%', '.' and control characters are written as %2F and so on
// in its file's name.
//
// # Create
//
//	Prepare   privileges, pg_dump, who keeps tables to himself
//	Mark      one connection exports its snapshot, another takes it over; sequences are read
//	Send      pg_dump reads the definitions and several connections the tables, at once, large ones in parts
//
// # Restore
//
// All is built and verified beside what is current, in a room (type room): schemas
// of the same database, holdfast_hf_TOKEN_N, or where that is not possible a
// database of its own, shop_hf_TOKEN. Swap renames both in one transaction.
//
// # Invariants
//
//  1. A stream changes only where the data do: rows come in the order of a key, there
//     are no time stamps, and neither settings nor versions of the server.
//  2. Rows are of the table that the snapshot knows: its filenode and its columns are
//     compared with those of the snapshot once it is locked. Definitions are those of
//     the snapshot: pg_dump reads some of them as of now, so all are compared when it is
//     done. Else ErrPointLost.
//  3. A table is locked only while it is read, and let go when somebody who wants to
//     change it has waited for a second. The mark waits for nobody.
//  4. A swap and a revert are one transaction, and the journal is part of it: no restore
//     can be half done. All statements that change current data are sent over a
//     connection that holds the lock of the database's restores.
//  5. A number of rows ends every stream, and a restore counts them twice.
//  6. A role that a restore creates is marked as the restore's in the same transaction,
//     until that is done; roles that exist are left alone.
//  7. No password is ever part of an error; pg_dump is given it in a file in memory.
//
// Goroutines: Send joins its readers, pg_dump and the watcher, Stage its loaders;
// nothing runs between calls.
package postgres
