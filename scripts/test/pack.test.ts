import { expect, it } from 'vitest';
import { publishedManifest } from '../pack/manifest.ts';

it('a published manifest points at what was built, keeps its dependencies and drops those of development', () => {
  const published = publishedManifest({
    name: '@canopy/x',
    version: '1.0.0',
    bin: { x: 'bin/x.js' },
    exports: { '.': './src/index.ts', './testing': './src/testing/index.ts' },
    files: ['dist', 'src'],
    dependencies: { '@canopy/core': '1.0.0' },
    devDependencies: { '@canopy/testkit': '1.0.0' },
  });
  expect(published).toEqual({
    name: '@canopy/x',
    version: '1.0.0',
    bin: { x: 'bin/x.js' },
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './testing': { types: './dist/testing/index.d.ts', default: './dist/testing/index.js' },
    },
    files: ['dist', 'bin'],
    dependencies: { '@canopy/core': '1.0.0' },
  });
});
