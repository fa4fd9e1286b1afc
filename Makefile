# 幸福码 Happiness Code. These targets are the only commands anyone must know.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo source)
LDFLAGS := -X main.version=$(VERSION)
# TEST narrows `make test`, for example: make test TEST=./matching/...
# The packages that take longest begin first, so that the others run beside them.
TEST ?= ./cmd/... ./app ./...
# The race detector watches everything but these: SQLite and its libc, which are
# C translated to Go and keep their memory where it cannot look; the Lua inside
# the embedded Redis, which runs one script at a time; and what draws and reads
# codes, which only computes and shares nothing. To watch them in vain takes most
# of the tests' time.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory github.com/yuin/gopher-lua/... \
	github.com/skip2/go-qrcode/... github.com/makiuchi-d/gozxing/...

.PHONY: help run build web test check bench bench-e2e bench-peers

help: ## 列出这些命令 / list these commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-11s %s\n", $$1, $$2}'

run: build ## 构建并运行（首次载入演示城市） / build all, start on ./data with the demo city
	@exec bin/happycode serve --demo

build: web ## 构建 bin/happycode / build the one binary
	@echo '· go build'
	@go build -ldflags '$(LDFLAGS)' -o bin/happycode ./cmd/happycode

web: ## 构建页面的样式与脚本 / build the pages' styles and scripts (npm)
	@.ci/web build

test: ## 全部测试，缺少的工具会先安装 / all tests; installs what they need first
	@.ci/need
	@.ci/web build
	@.ci/web check
	@echo '· go test -race $(TEST)'
	@GOFLAGS="$$(go env GOFLAGS) $(UNWATCHED:%=-gcflags=%=-race=false)" go test -race -tags integration -timeout 30m $(TEST)
	@cd bench/peers && go test ./...

check: ## 格式、vet、lint、漏洞 / gofmt, go vet, golangci-lint, govulncheck
	@.ci/check

bench: ## 基准测试 / benchmarks, to be compared with benchstat
	@.ci/need
	@go test -tags integration -run '^$$' -bench . -benchmem -count 6 -timeout 60m $(TEST)

bench-e2e: build ## 端到端压力测试：扫码与空 POST 之比 / scans end to end, as a ratio to an empty POST
	@.ci/need
	@bin/happycode bench all

bench-peers: ## 与其他做法比较：PostgreSQL 等 / against others: PostgreSQL, a tick matcher, a careless one
	@cd bench/peers && go run .
