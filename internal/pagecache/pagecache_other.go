//go:build !linux

package pagecache

import "os"

func letGo(*os.File, int64, int64) {}
