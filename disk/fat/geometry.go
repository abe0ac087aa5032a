package fat

import "fmt"

const (
	// minClusters is where FAT32 begins: fewer are FAT16 to every driver (fatgen103, "FAT Type Determination").
	minClusters = 65525
	// margin keeps our volumes off that limit, where drivers miscount (ibid.: "at least 16").
	margin = 16
	// maxClusters is what 28-bit entries can number, from 2 to below badCluster.
	maxClusters = badCluster - 2

	numFATs         = 2
	reservedSectors = 32 // at least; more to align the data area
	infoSectorNum   = 1
	backupSectorNum = 6
	bootSectors     = 3 // the boot record: boot sector, FSInfo, one with a signature
)

// geometry says where the areas of a volume are.
type geometry struct {
	sector     int64 // bytes
	cluster    int64 // bytes
	sectors    int64 // of the volume
	reserved   int64 // sectors before the first FAT
	fats       int64 // copies of the FAT
	fatSectors int64 // of one copy
	clusters   int64 // of the data area
}

func (g geometry) size() int64                { return g.sectors * g.sector }
func (g geometry) fatOffset(copy int64) int64 { return (g.reserved + copy*g.fatSectors) * g.sector }
func (g geometry) dataOffset() int64          { return g.fatOffset(g.fats) }
func (g geometry) clusterOffset(number uint32) int64 {
	return g.dataOffset() + (int64(number)-2)*g.cluster
}
func (g geometry) valid(number uint32) bool { return number >= 2 && int64(number) < g.clusters+2 }

// clustersFor returns how many clusters hold size bytes.
func (g geometry) clustersFor(size int64) int64 { return (size + g.cluster - 1) / g.cluster }

// withClusters fills in how many clusters fit behind the FATs.
func (g geometry) withClusters() geometry {
	g.clusters = max(0, (g.size()-g.dataOffset())/g.cluster)
	return g
}

// clusterSize returns Microsoft's choice for a volume (fatgen103, table
// DskTableFAT32), in bytes, but never less than a sector.
func clusterSize(size, sector int64) int64 {
	const mib, gib = 1 << 20, 1 << 30
	choice := int64(32 << 10)
	switch {
	case size <= 260*mib:
		choice = 512
	case size <= 8*gib:
		choice = 4 << 10
	case size <= 16*gib:
		choice = 8 << 10
	case size <= 32*gib:
		choice = 16 << 10
	}
	return max(choice, sector)
}

// newGeometry lays out a volume of size bytes:
//
//	reserved sectors | FAT | FAT | clusters
//
// The FATs are as small as the count of clusters allows, up to a sector, and
// the clusters are aligned to their own size from the volume's start.
func newGeometry(size, sector int64) (geometry, error) {
	if sector != 512 && sector != 4096 {
		return geometry{}, fmt.Errorf("sector size %d: want 512 or 4096", sector)
	}
	if size%sector != 0 || size <= 0 {
		return geometry{}, fmt.Errorf("volume size %d is not a positive multiple of the sector size %d", size, sector)
	}
	if size/sector > 1<<32-1 {
		return geometry{}, fmt.Errorf("volume of %d bytes: FAT32 counts at most 2^32-1 sectors of %d bytes", size, sector)
	}
	g := geometry{sector: sector, cluster: clusterSize(size, sector), sectors: size / sector, reserved: reservedSectors, fats: numFATs}

	// An upper bound of the FAT's size: with n clusters behind the FATs,
	// 4 × (n + 2) ≤ fat and n × cluster + 2 × fat ≤ what is not reserved.
	free := size - g.reserved*sector
	fat := 4 * (free + 2*g.cluster) / (g.cluster + 4*numFATs)
	g.fatSectors = fat/sector + 1

	perCluster := g.cluster / sector
	if over := (g.reserved + numFATs*g.fatSectors) % perCluster; over != 0 {
		g.reserved += perCluster - over
	}
	g = g.withClusters()
	if g.clusters < minClusters+margin {
		return geometry{}, fmt.Errorf("volume of %d bytes: %d clusters of %d bytes fit, FAT32 wants %d", size, g.clusters, g.cluster, minClusters+margin)
	}
	if g.clusters > maxClusters {
		return geometry{}, fmt.Errorf("volume of %d bytes: FAT32 counts at most %d clusters of %d bytes", size, maxClusters, g.cluster)
	}
	return g, nil
}
