import { expect, it } from 'vitest';

it('runs under the Node that the checkout pins', () => {
  const [major] = process.versions.node.split('.');
  expect(major, `tests run under Node 24, this is ${process.version}: run npm ci, then npm test`).toBe('24');
});
