/** A process that does nothing until it is ended. */
process.stdin.resume();
process.stdout.write('up\n');
