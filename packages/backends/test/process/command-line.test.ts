import { expect, test } from 'vitest';
import { splitCommand } from '../../src/process/command-line.ts';

test.each([
  ['node server.js --port 80', ['node', 'server.js', '--port', '80']],
  ['  a   b\tc ', ['a', 'b', 'c']],
  [`sh -c "echo 'hi'; exit 1"`, ['sh', '-c', "echo 'hi'; exit 1"]],
  [`a 'b "c" \\d' e\\ f`, ['a', 'b "c" \\d', 'e f']],
  [`a "" ''`, ['a', '', '']],
  [`a "q\\"q"x`, ['a', 'q"qx']],
])('%s', (text, words) => {
  expect(splitCommand(text)).toEqual({ words });
});

test.each(['', '  ', 'a | b', 'a > b', 'echo $HOME', 'a && b', 'a "b', "a 'b", 'ls *.ts'])('refused: %s', (text) => {
  expect(splitCommand(text)).toHaveProperty('problem');
});
