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
//
// # How tables are read
//
// Over several connections, all at the marked point: small tables first, each by one
// connection. A large one whose key allows it is read by all of them, in parts: the
// engine finds where a part ends by asking the server for the key of the row so many
// rows further on, which it looks up in the key's index. So nothing has to be known of
// the keys — gaps, skew, text in any collation, several columns — and no statistics have
// to be right. Each connection reads parts ahead of the stream that is being stored
// (Ahead), in memory and within bounds; the stream is that of one connection, byte for
// byte, and so a base for the next day's, however either was read.
//
// Goroutines: Ahead's are joined by Close, GivingWay and EachTable join theirs.
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
