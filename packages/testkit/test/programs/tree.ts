/** A parent with a child in its own group, and a grandchild in a session of its own; prints the pids and stays. */
import { spawn } from 'node:child_process';

const child = spawn('/bin/sh', ['-c', 'setsid sleep 300 & echo "grandchild $!"; wait'], {
  stdio: ['ignore', 'inherit', 'inherit'],
});
const detached = spawn('sleep', ['300'], { detached: true, stdio: 'ignore' });
process.stdout.write(`child ${child.pid}\ndetached ${detached.pid}\n`);
