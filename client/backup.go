package client

import (
	"context"
	"io"
	"net/http"
)

// Backup opens a backup of the state directory. That it came whole, its last
// entry says.
func (c *Client) Backup(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.do(ctx, call{method: http.MethodGet, path: []string{"backup"}, within: c.patience})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
