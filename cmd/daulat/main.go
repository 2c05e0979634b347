// Daulat is the whole network in one program; see `daulat --help`.
package main

import (
	"context"
	"os"

	"daulat/node"
	"daulat/ui/cli"
)

func main() {
	ctx, stop := cli.Signals(context.Background())
	status := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr, node.Runtime{})
	stop()
	os.Exit(status)
}
