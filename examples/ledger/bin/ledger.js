#!/usr/bin/env node
// The quick way in: with Node's compile cache on, the TypeScript sources are stripped and compiled once per machine, not
// once per start. Plain JavaScript, because a file can't be cached before it has turned the cache on.
const { enableCompileCache, flushCompileCache } = process.getBuiltinModule('node:module');
enableCompileCache?.();
await import('../src/main.ts');
// Node saves the cache at a normal exit only; this program may well be killed.
setTimeout(() => flushCompileCache?.(), 1000).unref();
