package mysql

import (
	"context"
	sqldriver "database/sql/driver"
	"fmt"
	"strconv"
)

// rows are a query's, one after the other.
type rows interface {
	// next puts the next row's values, as the server's text of them, where it is told, nil for
	// NULL. They are valid until the next call. io.EOF comes behind the last row.
	next(values [][]byte) error
	Close() error
}

// rows sends a query. Its rows are taken from the wire where that is possible.
func (s *session) rows(ctx context.Context, conn sqldriver.QueryerContext, query string) (rows, error) {
	if s.wire != nil {
		s.wire.take()
	}
	result, err := conn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	driven := &drivenRows{Rows: result, values: make([]sqldriver.Value, len(result.Columns()))}
	if s.wire == nil {
		return driven, nil
	}
	return &takenRows{drivenRows: driven, wire: s.wire}, nil
}

// takenRows are taken from the wire.
type takenRows struct {
	*drivenRows
	wire *wire
}

func (r *takenRows) next(values [][]byte) error {
	row, err := r.wire.next()
	if err == nil {
		return cutRow(row, values)
	}
	if err != errMalformed {
		// The driver knows what it means that no row has come.
		if err = r.Next(r.values); err == nil {
			err = errMalformed
		}
	}
	return err
}

// drivenRows come as the driver makes them, which is how they come over TLS.
type drivenRows struct {
	sqldriver.Rows
	values  []sqldriver.Value
	numbers []byte // text of those that the driver has made numbers of
}

func (r *drivenRows) next(values [][]byte) error {
	if err := r.Next(r.values); err != nil {
		return err
	}
	r.numbers = r.numbers[:0]
	for i, value := range r.values {
		from := len(r.numbers)
		switch v := value.(type) {
		case nil:
			values[i] = nil
			continue
		case []byte:
			values[i] = v
			if v == nil {
				values[i] = []byte{}
			}
			continue
		case int64:
			r.numbers = strconv.AppendInt(r.numbers, v, 10)
		case uint64:
			r.numbers = strconv.AppendUint(r.numbers, v, 10)
		case float64:
			r.numbers = strconv.AppendFloat(r.numbers, v, 'g', -1, 64)
		default:
			return fmt.Errorf("the driver gave a %T for a value", value)
		}
		values[i] = r.numbers[from:len(r.numbers):len(r.numbers)]
	}
	return nil
}
