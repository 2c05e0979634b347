// Protogen compiles proto/**/*.proto in pure Go and writes gen/. It needs
// neither protoc nor a network: the imports lie in the module cache, and the
// two plugins are tools of the main module.
//
// Usage, from tools/: go run ./protogen [-root ..] [-out DIR]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// imports are the modules that hold imported .proto files, and where in them.
var imports = []struct{ module, folder string }{
	{"github.com/cosmos/cosmos-sdk", "proto"},
	{"github.com/cosmos/gogoproto", ""},
	{"github.com/cosmos/cosmos-proto", "proto"},
	{"github.com/grpc-ecosystem/grpc-gateway", "third_party/googleapis"},
}

var plugins = []struct{ name, parameter string }{
	{"protoc-gen-gocosmos", "plugins=grpc,Mgoogle/protobuf/any.proto=github.com/cosmos/gogoproto/types/any"},
	{"protoc-gen-grpc-gateway", "logtostderr=true,allow_colon_final_segments=true"},
}

func main() {
	root := flag.String("root", "..", "root of the main module")
	out := flag.String("out", "", "where to write (default: the root)")
	flag.Parse()
	if *out == "" {
		*out = *root
	}
	if err := generate(*root, *out); err != nil {
		log.Fatal("protogen: ", err)
	}
}

func generate(root, out string) error {
	names, err := sources(filepath.Join(root, "proto"))
	if err != nil {
		return err
	}
	files, err := compile(root, names)
	if err != nil {
		return err
	}
	module, err := golist(root, "{{.Path}}")
	if err != nil {
		return err
	}
	for _, p := range plugins {
		for _, name := range names { // the plugins take one Go package at a time, and each file is one
			resp, err := run(root, p.name, &pluginpb.CodeGeneratorRequest{
				FileToGenerate: []string{name}, Parameter: proto.String(p.parameter), ProtoFile: files})
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if err := write(out, module+"/", resp); err != nil {
				return err
			}
		}
	}
	return nil
}

// sources lists the .proto files below dir, as import paths.
func sources(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".proto") {
			rel, _ := filepath.Rel(dir, p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	return names, err
}

// golist prints one field of the main module, or of the module named last.
func golist(root, format string, module ...string) (string, error) {
	cmd := exec.Command("go", append([]string{"list", "-m", "-f", format}, module...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// compile returns the descriptors of names and of all they import, each after
// its imports.
func compile(root string, names []string) ([]*descriptorpb.FileDescriptorProto, error) {
	paths := []string{filepath.Join(root, "proto")}
	for _, i := range imports {
		dir, err := golist(root, "{{.Dir}}", i.module)
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(dir, i.folder))
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: paths}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments go into the generated code
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protodesc.ToFileDescriptorProto(fd))
	}
	for _, fd := range compiled {
		add(fd)
	}
	return all, nil
}

func run(root, plugin string, req *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Dir, cmd.Stdin, cmd.Stderr = root, bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("%s", resp.GetError())
	}
	return &resp, nil
}

// write puts the files where go_package says, less the module's path.
func write(out, module string, resp *pluginpb.CodeGeneratorResponse) error {
	for _, f := range resp.File {
		name := filepath.Join(out, filepath.FromSlash(strings.TrimPrefix(f.GetName(), module)))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
