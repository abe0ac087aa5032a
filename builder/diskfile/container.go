package diskfile

import (
	"io"

	"github.com/ketch-os/ketch/disk/qcow2"
	"github.com/ketch-os/ketch/disk/vhd"
	"github.com/ketch-os/ketch/disk/vmdk"
)

func (d *File) openQCOW2() (err error) {
	if d.QCOW2, err = qcow2.Open(d.Disk, d.Size); err != nil {
		return err
	}
	d.Disk, d.Size = d.QCOW2, int64(d.QCOW2.Header.Size)
	return nil
}

func (d *File) openVHD() (err error) {
	if d.VHD, err = vhd.Open(d.Disk, d.Size); err != nil {
		return err
	}
	d.Disk, d.Size = d.VHD, int64(d.VHD.Footer.CurrentSize)
	return nil
}

// openVMDK opens the one kind of VMDK that is read, and wanted: streamOptimized.
func (d *File) openVMDK() error {
	disk, err := vmdk.Open(d.Disk, d.Size)
	if err != nil {
		return err
	}
	d.Disk, d.Size = disk, disk.Size
	return nil
}

// endsWithVHD tells a VHD by its footer.
func endsWithVHD(r io.ReaderAt, size int64) bool {
	const cookie = "conectix"
	return size > vhd.FooterSize && startsWith(cookie)(io.NewSectionReader(r, size-vhd.FooterSize, vhd.FooterSize), vhd.FooterSize)
}
