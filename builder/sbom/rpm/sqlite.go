package rpm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// sqlite is a database of SQLite (sqlite.org/fileformat2.html), as far as it takes to
// read one table from its first row to its last. Numbers are big-endian.
type sqlite struct {
	data   []byte
	page   int64 // bytes of a page
	usable int64 // bytes of it that hold something
	pages  int   // that may still be read: no more than there are
	bytes  int64 // of rows that may still be read, likewise: several pointers may lead to one cell
}

// sqliteMagic begins a database (section 1.3).
const sqliteMagic = "SQLite format 3\x00"

// Types of pages (section 1.6). The table of a database without them has none other.
const (
	sqliteInterior = 0x05
	sqliteLeaf     = 0x0d
)

// sqliteHeader is the size of the database's header, with which page 1 begins.
const sqliteHeader = 100

// eachSQLite calls do for every header in the table Packages.
func eachSQLite(data []byte, do func([]byte) error) error {
	db, err := openSQLite(data)
	if err != nil {
		return err
	}
	root, err := db.root("Packages")
	if err != nil {
		return err
	}
	return db.rows(root, func(row []value) error {
		if len(row) < 2 { // hnum, blob
			return fmt.Errorf("table Packages has a row of %d columns", len(row))
		}
		return do(row[1].bytes)
	})
}

func openSQLite(data []byte) (*sqlite, error) {
	if len(data) < sqliteHeader || string(data[:len(sqliteMagic)]) != sqliteMagic {
		return nil, errors.New("is no database of SQLite's")
	}
	page := int64(binary.BigEndian.Uint16(data[16:]))
	if page == 1 {
		page = 1 << 16
	}
	if page < 512 || page&(page-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes", page)
	}
	db := &sqlite{data: data, page: page, usable: page - int64(data[20]), pages: len(data) / int(page), bytes: int64(len(data))}
	if db.usable < 480 { // section 1.3.4
		return nil, fmt.Errorf("%d usable bytes in a page", db.usable)
	}
	return db, nil
}

// root finds the first page of a table, in the schema, which is the table at page 1.
func (db *sqlite) root(table string) (number uint32, err error) {
	err = db.rows(1, func(row []value) error {
		// type, name, tbl_name, rootpage, sql
		if len(row) >= 4 && string(row[0].bytes) == "table" && string(row[1].bytes) == table {
			number = uint32(row[3].number)
		}
		return nil
	})
	if err == nil && number == 0 {
		err = fmt.Errorf("has no table %s", table)
	}
	return number, err
}

// content returns a page.
func (db *sqlite) content(number uint32) ([]byte, error) {
	end := int64(number) * db.page
	if number == 0 || end > int64(len(db.data)) {
		return nil, fmt.Errorf("page %d is not there", number)
	}
	if db.pages--; db.pages < 0 {
		return nil, errors.New("pages lead to each other in a circle")
	}
	return db.data[end-db.page : end][:db.usable], nil
}

// rows calls do for each row of the table whose first page has a number.
func (db *sqlite) rows(root uint32, do func([]value) error) error {
	page, err := db.content(root)
	if err != nil {
		return err
	}
	start := 0
	if root == 1 {
		start = sqliteHeader
	}
	kind, cells := page[start], int(binary.BigEndian.Uint16(page[start+3:]))
	pointers := start + 8
	if kind == sqliteInterior {
		pointers += 4
	} else if kind != sqliteLeaf {
		return fmt.Errorf("page %d is of type %#x, not of a table", root, kind)
	}
	for i := range cells {
		at := pointers + 2*i
		if at+2 > len(page) {
			return fmt.Errorf("page %d has %d cells, more than it holds", root, cells)
		}
		cell := int(binary.BigEndian.Uint16(page[at:]))
		if cell+4 > len(page) {
			return fmt.Errorf("page %d: cell %d is outside", root, i)
		}
		if kind == sqliteInterior {
			err = db.rows(binary.BigEndian.Uint32(page[cell:]), do)
		} else {
			err = db.row(page[cell:], do)
		}
		if err != nil {
			return err
		}
	}
	if kind == sqliteInterior {
		return db.rows(binary.BigEndian.Uint32(page[start+8:]), do)
	}
	return nil
}

// row calls do for the row in a cell of a leaf: the payload's size, the row's number,
// and the payload.
func (db *sqlite) row(cell []byte, do func([]value) error) error {
	size, n := varint(cell)
	_, m := varint(cell[n:])
	if n == 0 || m == 0 {
		return errors.New("a cell is cut off")
	}
	payload, err := db.payload(cell[n+m:], size)
	if err != nil {
		return err
	}
	values, err := record(payload)
	if err != nil {
		return err
	}
	return do(values)
}

// payload puts together what lies in the cell and on overflow pages (section 1.6).
func (db *sqlite) payload(cell []byte, size int64) ([]byte, error) {
	if size < 0 || size > int64(len(db.data)) {
		return nil, fmt.Errorf("a payload of %d bytes", size)
	}
	if db.bytes -= size; db.bytes < 0 {
		return nil, errors.New("the rows are longer than the database: some are there twice")
	}
	local := db.local(size)
	if local > int64(len(cell)) {
		return nil, errors.New("a payload is cut off")
	}
	if local == size {
		return cell[:size], nil
	}
	if local+4 > int64(len(cell)) {
		return nil, errors.New("a payload is cut off")
	}
	all, next := append([]byte(nil), cell[:local]...), binary.BigEndian.Uint32(cell[local:])
	for int64(len(all)) < size {
		page, err := db.content(next)
		if err != nil {
			return nil, err
		}
		next = binary.BigEndian.Uint32(page)
		all = append(all, page[4:min(int64(len(page)), 4+size-int64(len(all)))]...)
	}
	return all, nil
}

// local is how much of a payload lies in its cell (section 1.6: X, M, K).
func (db *sqlite) local(size int64) int64 {
	most, least := db.usable-35, (db.usable-12)*32/255-23
	if size <= most {
		return size
	}
	if k := least + (size-least)%(db.usable-4); k <= most {
		return k
	}
	return least
}

// value is a column of a row: a number, or the bytes of a text or blob.
type value struct {
	number int64
	bytes  []byte
}

// record reads the columns of a row (section 2.1).
func record(payload []byte) ([]value, error) {
	headerSize, n := varint(payload)
	if n == 0 || headerSize < int64(n) || headerSize > int64(len(payload)) {
		return nil, errors.New("a row's header is cut off")
	}
	types, body := payload[n:headerSize], payload[headerSize:]
	var values []value
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 {
			return nil, errors.New("a row's header is cut off")
		}
		types = types[n:]
		size := columnSize(kind)
		if size < 0 || size > int64(len(body)) {
			return nil, fmt.Errorf("a column of type %d in %d bytes", kind, len(body))
		}
		v := value{bytes: body[:size]}
		switch {
		case kind == 9:
			v.number = 1
		case kind >= 1 && kind <= 6:
			v.number = signed(v.bytes)
		}
		values, body = append(values, v), body[size:]
	}
	return values, nil
}

// columnSize is how many bytes a column of a type takes; -1: there is no such type.
func columnSize(kind int64) int64 {
	switch {
	case kind >= 12:
		return (kind - 12) / 2
	case kind < 0 || kind >= 10:
		return -1
	}
	return []int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[kind]
}

// signed is a big-endian number in two's complement.
func signed(b []byte) int64 {
	n := int64(int8(b[0]))
	for _, next := range b[1:] {
		n = n<<8 | int64(next)
	}
	return n
}

// varint reads a number of one to nine bytes, of which all but the ninth have seven
// bits (section 1.6), and how many bytes it took: 0 where it is cut off.
func varint(b []byte) (value int64, n int) {
	for n < 8 && n < len(b) {
		value = value<<7 | int64(b[n]&0x7f)
		n++
		if b[n-1] < 0x80 {
			return value, n
		}
	}
	if n == 8 && len(b) > 8 {
		return value<<8 | int64(b[8]), 9
	}
	return 0, 0
}
