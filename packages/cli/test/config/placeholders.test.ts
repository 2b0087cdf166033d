import { expect, it } from 'vitest';
import { fillPlaceholders } from '../../src/config/placeholders.ts';

it('fills known names anywhere and leaves everything else as it is', () => {
  const value = {
    command: ['run', '--db={db}', '{"json": {unknown}}'],
    port: 3,
    nested: { url: 'http://h:{port:web}/' },
  };
  expect(fillPlaceholders(value, (name) => ({ db: '/d/x.db', 'port:web': '81' })[name])).toEqual({
    command: ['run', '--db=/d/x.db', '{"json": {unknown}}'],
    port: 3,
    nested: { url: 'http://h:81/' },
  });
});
