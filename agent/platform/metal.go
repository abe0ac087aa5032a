package platform

import (
	"context"
	"fmt"
	"net/url"

	"github.com/ketch-os/ketch/internal/bareurl"
)

// A machine of one's own is told by a kernel parameter where its configuration is. What
// it names is trusted as the command line is, which is signed.

func detectURL(h *Host) string {
	if _, given := h.Cmdline.Get(ParamConfig); given {
		return "kernel parameter " + ParamConfig
	}
	return ""
}

func readURL(ctx context.Context, h *Host, to *Facts) error {
	text, _, err := h.Cmdline.Once(ParamConfig)
	if err != nil {
		return err
	}
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("kernel parameter %s=%s: want a URL of http or https", ParamConfig, bareurl.Text(text))
	}
	to.Source = bareurl.Text(text)
	to.UserData, err = h.Client.Fetch(ctx, text)
	if err == nil && len(to.UserData) > maxUserData {
		err = fmt.Errorf("%s: more than %d bytes", to.Source, maxUserData)
	}
	return err
}
