import { expect, it } from 'vitest';
import { kindOf } from '../../src/crash/node-processes.ts';

it('tells the processes of a node by the program that they run', () => {
  const node = ['/usr/bin/node', '--flag'];
  expect(kindOf([...node, '/x/packages/election/src/warden/main.ts'])).toBe('warden');
  expect(kindOf([...node, '/x/packages/sqlite/src/process/main.ts'])).toBe('database');
  expect(kindOf(['/usr/bin/node', 'bin/ledger.js', '--db', '/tmp/x/ledger.db'])).toBe('backend');
  expect(kindOf(['/x/my-server'])).toBe('backend');
});
