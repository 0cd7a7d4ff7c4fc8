// Package mysql captures and restores one database of a MariaDB or MySQL 8 server as
// plain SQL. It speaks to the server itself; no client tool is needed, and no copy of a
// dump is kept anywhere.
//
// # What stands in a snapshot
//
// For a service called shop, a directory and a file:
//
//	shop/schema.sql          the database's character set, sequences, tables
//	shop/tables/orders.sql   the rows of table orders, or a sequence's state
//	shop/after.sql           routines, views, triggers, events
//	shop/accounts.sql        on request: users and roles, and what they may do
//	shop.sql                 schema.sql, every table, after.sql, one after the other
//
// Each is a script for the mariadb client by itself, and shop.sql loads into any
// empty database of any name:
//
//	holdfast snapshot cat ID shop.sql | mariadb other
//
// There is no DROP in them: loading into a database that is in use fails. A table
// may be called anything; '/', '\', '%', control characters and a '.' in front
// are written as %2F and so on in its file's name.
//
// # Create
//
//	Prepare   privileges; definitions of everything
//	Mark      MariaDB: BACKUP STAGE BLOCK_COMMIT; MySQL: LOCK INSTANCE FOR BACKUP and
//	          FLUSH TABLES WITH READ LOCK; a consistent snapshot on all connections;
//	          sequences, and small tables of engines without snapshots, are read
//	Send      the tables, in parallel, large ones in parts, within those snapshots;
//	          rows are taken from the wire before the driver makes values of them
//
// Without the privileges for that, or while somebody else's ALTER TABLE or backup is
// in the way, one connection is used, which is consistent by itself. FLUSH TABLES WITH
// READ LOCK behind one long statement stops the whole site: MariaDB is never asked for
// it, MySQL, which has nothing else, only while no statement runs for a second, and
// for a second at most.
//
// # Restore
//
// All is built and verified in a database beside the current one, shop_hf_TOKEN,
// which also keeps the journal. Swap moves the current tables to shop_hr_TOKEN and
// the new ones in their place by one RENAME TABLE. Discard drops both databases.
//
// # Invariants
//
//  1. A stream changes only where the data do: rows come in primary key order, there
//     are no time stamps, and counters stand with the rows, not in the schema.
//  2. What is written in a stream gives exactly the stored value again, or its
//     loading fails: it is loaded in strict mode.
//  3. A table's rows belong to the definition that was read before the mark: both
//     are compared while the server lets nobody change the table. Else ErrPointLost.
//  4. Nothing waits for longer than a second for a lock that others may queue
//     behind; a table is let go as soon as it was read, or when somebody who wants
//     to change it has waited for a second.
//  5. The journal says what a swap was to do; how far it came is asked of the server.
//     All statements that change current data are sent over the connection that holds
//     the lock holdfast:DATABASE, so none can still arrive when the next one holds it.
//  6. No password is ever part of an error.
//  7. An account is in the journal before it is created, and nothing else happens to
//     accounts: those that exist are left alone.
//
// Goroutines: Send joins its readers and the watcher, Stage its loaders; nothing
// runs between calls.
package mysql
