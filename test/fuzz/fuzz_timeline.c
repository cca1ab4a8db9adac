/*
 * fuzz_timeline.c
 *	  Compare the engine with the naive model, driven by a fuzzer's bytes.
 *
 * Each byte is a choice (oracle.h): the first ones choose the table's size and
 * columns, the others the operations.  Any difference aborts.
 *
 * Built with -fsanitize=fuzzer it is a libFuzzer target; with CT_REPLAY it is a
 * program that replays the files and directories in its arguments.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

#define MAX_STEPS 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OracleSource source = oracle_bytes(data, size);
	OracleSettings settings = {.validate_every = 8};
	Oracle *oracle;

	settings.region_bytes = (8 + (size_t) oracle_below(&source, 64)) * CT_PAGE_BYTES;
	settings.keys = 1 + oracle_below(&source, 5);
	settings.instants = 1 + oracle_below(&source, 30);
	settings.ids = 1 + oracle_below(&source, 8);
	settings.retain = settings.ids % 2 == 0;
	settings.retract = settings.keys % 2 == 0;
	oracle = oracle_create(&source, &settings);
	for (int i = 0; i < MAX_STEPS && !source.ended; i++)
		oracle_step(oracle);
	oracle_finish(oracle);
	oracle_destroy(oracle);
	return 0;
}

#ifdef CT_REPLAY

static void
replay_file(const char *path)
{
	static uint8_t data[1 << 16];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (file == NULL)
	{
		perror(path);
		exit(1);
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	(void) LLVMFuzzerTestOneInput(data, size);
}

/* Replay a file, or the files of a directory; return their number. */
int
main(int argc, char **argv)
{
	int replayed = 0;

	for (int i = 1; i < argc; i++)
	{
		DIR *directory = opendir(argv[i]);
		struct dirent *entry;
		char path[4096];

		if (directory == NULL)
		{
			replay_file(argv[i]);
			replayed++;
			continue;
		}
		while ((entry = readdir(directory)) != NULL)
		{
			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			replay_file(path);
			replayed++;
		}
		closedir(directory);
	}
	printf("%d inputs replayed\n", replayed);
	return replayed > 0 ? 0 : 1;
}

#endif /* CT_REPLAY */
