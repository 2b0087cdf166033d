#!/usr/bin/env node
// Plain old syntax on purpose: an old Node must be able to read this file and say what is wrong.

var parts = process.versions.node.split('.').map(Number);
if (parts[0] < 22 || (parts[0] === 22 && parts[1] < 18)) {
  process.stderr.write(
    'canopy needs Node.js 22.18 or newer; this is ' +
      process.version +
      ' (' +
      process.execPath +
      ').\nInstall a newer Node.js, or run it through npx inside a checkout, which brings its own.\n',
  );
  process.exitCode = 69;
} else {
  // Before the first module of ours: with the cache, a second start neither strips types nor compiles, which saves a
  // third of a second and the memory of the stripper.
  process.getBuiltinModule('node:module').enableCompileCache();
  import('../src/main.ts').catch((error) => {
    process.stderr.write(String((error && error.stack) || error) + '\n');
    process.exitCode = 70;
  });
}
