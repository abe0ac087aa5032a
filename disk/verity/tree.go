package verity

import (
	"crypto/sha256"
	"hash"
	"runtime"
	"sync"

	"github.com/ketch-os/ketch/disk/verity/sha256x2"
)

// level is one level of the tree: where it lies on the hash device, in blocks.
type level struct{ first, blocks uint64 }

// layout returns the levels of the tree over dataBlocks data blocks, the leaves
// first, and the number of blocks of the hash device.
func layout(dataBlocks uint64) (levels []level, total uint64) {
	for n := dataBlocks; n > 1; {
		n = (n-1)/fanOut + 1
		levels = append(levels, level{blocks: n})
	}
	total = 1 // the superblock
	for i := len(levels) - 1; i >= 0; i-- {
		levels[i].first = total
		total += levels[i].blocks
	}
	return levels, total
}

// HashSize returns the size in bytes of the hash device for dataSize bytes of
// data, superblock included. A last block that is not full counts as one.
func HashSize(dataSize int64) int64 {
	blocks := uint64(dataSize) / BlockSize
	if dataSize%BlockSize != 0 {
		blocks++
	}
	_, total := layout(blocks)
	return int64(total) * BlockSize
}

// digester computes SHA-256(salt ‖ block).
type digester struct {
	hash hash.Hash
	pair *sha256x2.Hasher
	salt []byte
}

func newDigester(salt []byte) digester { return digester{sha256.New(), sha256x2.New(salt), salt} }

// append appends the digest of block to dst.
func (d digester) append(dst, block []byte) []byte {
	d.hash.Reset()
	d.hash.Write(d.salt)
	d.hash.Write(block)
	return d.hash.Sum(dst)
}

// appendEach appends the digest of every block of data to dst.
func (d digester) appendEach(dst, data []byte) []byte {
	for ; len(data) >= 2*BlockSize; data = data[2*BlockSize:] {
		dst = d.pair.Sum(dst, data[:BlockSize], data[BlockSize:2*BlockSize])
	}
	if len(data) > 0 {
		dst = d.append(dst, data)
	}
	return dst
}

// groupSize is the unit of parallel work: the data under one leaf.
const groupSize = fanOut * BlockSize

// pool runs numbered jobs on all cores and remembers the failure with the
// lowest number. Each job owns one buffer of groupSize bytes; their number
// bounds the memory and the jobs in flight.
type pool struct {
	buffers chan []byte
	jobs    sync.WaitGroup

	mu     sync.Mutex
	failed error
	number uint64
}

func newPool() *pool {
	n := runtime.GOMAXPROCS(0) + 1 // one to fill while the others are worked on
	p := &pool{buffers: make(chan []byte, n)}
	for range n {
		p.buffers <- nil
	}
	return p
}

// take waits for a free buffer. It returns the first failure instead once there is one.
func (p *pool) take() ([]byte, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	buf := <-p.buffers
	if buf == nil {
		buf = make([]byte, groupSize)
	}
	return buf, nil
}

// run starts a job that gives buf back when it is done.
func (p *pool) run(number uint64, buf []byte, job func() error) {
	p.jobs.Go(func() {
		if err := job(); err != nil {
			p.fail(number, err)
		}
		p.buffers <- buf
	})
}

// wait waits for all jobs and returns the failure with the lowest number.
func (p *pool) wait() error {
	p.jobs.Wait()
	return p.err()
}

func (p *pool) fail(number uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil || number < p.number {
		p.failed, p.number = err, number
	}
}

func (p *pool) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}
