/* A Modbus slave that nobody of us wrote (libmodbus).
 *
 * slave MAP rtu PORT | slave MAP tcp
 *
 * MAP has one line for each register and bit: table, address, value. Prints
 * "ready" and, over TCP, the port. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE 4096

static modbus_mapping_t *load(const char *path)
{
	modbus_mapping_t *m = modbus_mapping_new(SIZE, SIZE, SIZE, SIZE);
	FILE *f = fopen(path, "r");
	char table[16];
	int at, value;
	if (m == NULL || f == NULL)
		exit(1);
	while (fscanf(f, "%15s %d %d", table, &at, &value) == 3) {
		if (at >= SIZE)
			exit(1);
		switch (table[0]) {
		case 'h': m->tab_registers[at] = value; break;
		case 'i': m->tab_input_registers[at] = value; break;
		case 'c': m->tab_bits[at] = value; break;
		case 'd': m->tab_input_bits[at] = value; break;
		}
	}
	fclose(f);
	return m;
}

static void serve(modbus_t *ctx, modbus_mapping_t *m)
{
	uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
	for (;;) {
		int n = modbus_receive(ctx, query);
		if (n > 0)
			modbus_reply(ctx, query, n, m);
		else if (n < 0 && (errno == ECONNRESET || errno == EBADF || errno == EIO))
			return;
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 1;
	modbus_mapping_t *m = load(argv[1]);
	if (strcmp(argv[2], "rtu") == 0) {
		modbus_t *ctx = modbus_new_rtu(argv[3], 19200, 'N', 8, 1);
		modbus_set_slave(ctx, 1);
		if (modbus_connect(ctx) < 0)
			return 1;
		printf("ready\n");
		fflush(stdout);
		serve(ctx, m);
		return 0;
	}
	struct sockaddr_in here;
	socklen_t size = sizeof here;
	modbus_t *ctx = modbus_new_tcp("127.0.0.1", 0);
	int s = modbus_tcp_listen(ctx, 1);
	if (s < 0 || getsockname(s, (struct sockaddr *)&here, &size) < 0)
		return 1;
	printf("ready %d\n", ntohs(here.sin_port));
	fflush(stdout);
	for (;;) {
		if (modbus_tcp_accept(ctx, &s) < 0)
			return 1;
		serve(ctx, m);
		modbus_close(ctx);
	}
}
