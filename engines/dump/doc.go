// Package dump is what engines share whose snapshots are scripts of SQL: how the
// streams of a dump are put into a snapshot, in which order tables are read, and
// when a reader gives way to those who wait for it. It knows no server and no SQL.
//
// # What stands in a snapshot
//
// For a service called shop, a directory and a file:
//
//	shop/schema.sql          what comes before the rows, and whatever else the engine has
//	shop/tables/orders.sql   the rows of one table
//	shop/after.sql           what comes behind them
//	shop.sql                 all of these, one after the other
//
// A stream's base is the stream of the same path in the parent snapshot, and while
// its content stays the same, so does its time.
package dump

// Names of what stands in the snapshot of a dump, whatever the server.
const (
	SchemaFile = "schema.sql"
	TablesDir  = "tables"
	AfterFile  = "after.sql"
	Extension  = ".sql"
	// AccountsFile is there only on request.
	AccountsFile = "accounts.sql"
)
