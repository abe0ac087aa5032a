package fat

import "testing"

// sizes are the places where volumes go wrong: around each change of cluster
// size, and where the count of clusters is close to what FAT32 needs.
func sizes(sector int64) []int64 {
	const gib = 1 << 30
	var list []int64
	for _, size := range []int64{33 * mib, 34 * mib, 48 * mib, 64 * mib, 100 * mib, 128 * mib, 260 * mib, 261 * mib, 512 * mib, 1 * gib, 2 * gib, 8 * gib, 16 * gib, 32 * gib} {
		if sector == 4096 && size < 260*mib {
			continue
		}
		list = append(list, size, size+sector, size+7*sector)
		if size != 33*mib {
			list = append(list, size-sector)
		}
	}
	return list
}

func checkGeometry(t *testing.T, g geometry, size int64) {
	t.Helper()
	end := g.dataOffset() + g.clusters*g.cluster
	switch {
	case g.size() != size:
		t.Errorf("volume of %d bytes: geometry says %d", size, g.size())
	case g.clusters < minClusters+margin || g.clusters > maxClusters:
		t.Errorf("volume of %d bytes: %d clusters", size, g.clusters)
	case g.fatSectors*g.sector < 4*(g.clusters+2):
		t.Errorf("volume of %d bytes: FAT of %d sectors for %d clusters", size, g.fatSectors, g.clusters)
	case (g.fatSectors-2)*g.sector > 4*(g.clusters+2):
		t.Errorf("volume of %d bytes: FAT of %d sectors is too large for %d clusters", size, g.fatSectors, g.clusters)
	case end > size || end+g.cluster <= size:
		t.Errorf("volume of %d bytes: clusters end at %d", size, end)
	case g.dataOffset()%g.cluster != 0:
		t.Errorf("volume of %d bytes: clusters of %d start at %d", size, g.cluster, g.dataOffset())
	case g.reserved < reservedSectors || g.reserved >= 1<<16:
		t.Errorf("volume of %d bytes: %d reserved sectors", size, g.reserved)
	}
}

func TestGeometry(t *testing.T) {
	for _, sector := range []int64{512, 4096} {
		list := sizes(sector)
		for size := int64(33 * mib); size < 600*mib; size += 1021 * 4096 {
			list = append(list, size)
		}
		for size := int64(600 * mib); size < 70<<30; size += 37*mib + 4096 {
			list = append(list, size)
		}
		for _, size := range list {
			if sector == 4096 && size < 257*mib {
				continue
			}
			g, err := newGeometry(size, sector)
			if err != nil {
				t.Error(err)
				continue
			}
			checkGeometry(t, g, size)
		}
	}
}

// TestSmallest finds the first size that is accepted, and that every larger one is.
func TestSmallest(t *testing.T) {
	for _, test := range []struct{ sector, below int64 }{{512, 33 * mib}, {4096, 257 * mib}} {
		accepted := int64(0)
		for size := test.below - 2*mib; size < test.below+mib; size += test.sector {
			g, err := newGeometry(size, test.sector)
			switch {
			case err == nil:
				accepted = max(accepted, 1)
				checkGeometry(t, g, size)
			case accepted > 0 || size >= test.below:
				t.Fatalf("newGeometry(%d, %d) = %v; want none, as for smaller sizes", size, test.sector, err)
			}
		}
	}
}
