package rpm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// bdb is a hash table of Berkeley DB 4 and 5 (dbinc/db_page.h), as far as it takes to
// read all of its values in any order. Numbers are in the order of the machine that
// wrote them, which the magic number tells.
type bdb struct {
	data  []byte
	order binary.ByteOrder
	page  int64 // bytes of a page
	pages int   // that may still be read: no more than there are
}

const (
	bdbHashMagic = 0x061561
	bdbMagicAt   = 12
	bdbPageAt    = 20 // of the metadata page: the size of pages
	bdbCryptAt   = 24 // of the metadata page: how it is encrypted
	bdbNextAt    = 16 // of any page: the one that follows
	bdbEntriesAt = 20 // of a hash page: how many items it has
	bdbUsedAt    = 22 // of an overflow page: how many bytes it holds
	bdbTypeAt    = 25
	bdbIndexAt   = 26 // where the offsets of items start, and the data of an overflow page
)

// Types of pages and of items.
const (
	bdbUnsorted = 2
	bdbOverflow = 7
	bdbHash     = 13

	bdbKeyData = 1 // the item is here
	bdbOffPage = 3 // it lies on overflow pages
)

// eachBDB calls do for every header in a hash table.
func eachBDB(data []byte, do func([]byte) error) error {
	db, err := openBDB(data)
	if err != nil {
		return err
	}
	for number := int64(1); (number+1)*db.page <= int64(len(data)); number++ {
		page := data[number*db.page:][:db.page]
		if kind := page[bdbTypeAt]; kind != bdbHash && kind != bdbUnsorted {
			continue
		}
		if err := db.items(page, do); err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
	}
	return nil
}

func openBDB(data []byte) (*bdb, error) {
	if len(data) < 512 {
		return nil, errors.New("is no database of Berkeley DB's")
	}
	db := &bdb{data: data, order: binary.LittleEndian}
	if db.order.Uint32(data[bdbMagicAt:]) != bdbHashMagic {
		db.order = binary.BigEndian
	}
	if db.order.Uint32(data[bdbMagicAt:]) != bdbHashMagic {
		return nil, errors.New("is no hash table of Berkeley DB's")
	}
	db.page = int64(db.order.Uint32(data[bdbPageAt:]))
	if db.page < 512 || db.page > 1<<16 || db.page&(db.page-1) != 0 {
		return nil, fmt.Errorf("pages of %d bytes", db.page)
	}
	if data[bdbCryptAt] != 0 {
		return nil, errors.New("is encrypted")
	}
	db.pages = len(data) / int(db.page)
	return db, nil
}

// items calls do for the values of a hash page, whose items are keys and values in
// turn. The value of the key 0 is RPM's counter of packages.
func (db *bdb) items(page []byte, do func([]byte) error) error {
	count := int(db.order.Uint16(page[bdbEntriesAt:]))
	if bdbIndexAt+2*count > len(page) {
		return fmt.Errorf("%d items, more than it holds", count)
	}
	// Items are put in from the end of the page: each ends where the one before it starts.
	end := len(page)
	var key []byte
	for i := range count {
		start := int(db.order.Uint16(page[bdbIndexAt+2*i:]))
		if start >= end || start < bdbIndexAt {
			return fmt.Errorf("item %d lies at byte %d, behind %d", i, start, end)
		}
		item := page[start:end]
		end = start
		if i%2 == 0 {
			key = item[1:]
			continue
		}
		if len(key) == 4 && db.order.Uint32(key) == 0 {
			continue
		}
		value, err := db.value(item)
		if err == nil {
			err = do(value)
		}
		if err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// value is what an item holds, or leads to.
func (db *bdb) value(item []byte) ([]byte, error) {
	switch {
	case item[0] == bdbKeyData:
		return item[1:], nil
	case item[0] != bdbOffPage || len(item) < 12:
		return nil, fmt.Errorf("is of type %d", item[0])
	}
	next, size := db.order.Uint32(item[4:]), int64(db.order.Uint32(item[8:]))
	if size > int64(len(db.data)) {
		return nil, fmt.Errorf("a value of %d bytes", size)
	}
	var all []byte
	for int64(len(all)) < size {
		at := int64(next) * db.page
		if next == 0 || at+db.page > int64(len(db.data)) {
			return nil, fmt.Errorf("page %d is not there", next)
		}
		if db.pages--; db.pages < 0 {
			return nil, errors.New("pages lead to each other in a circle")
		}
		page := db.data[at:][:db.page]
		used := int(db.order.Uint16(page[bdbUsedAt:]))
		if page[bdbTypeAt] != bdbOverflow || used == 0 || bdbIndexAt+used > len(page) {
			return nil, fmt.Errorf("page %d holds no part of a value", next)
		}
		all, next = append(all, page[bdbIndexAt:][:used]...), db.order.Uint32(page[bdbNextAt:])
	}
	return all[:size], nil
}
