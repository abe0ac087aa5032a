/*
 * The guard is the EFI program that the firmware starts: EFI/BOOT/BOOTX64.EFI. It
 * starts systemd-boot, from the same partition, and resets the machine when that
 * cannot be loaded or comes back. systemd-boot comes back when a kernel image
 * cannot be loaded; the firmware would then open its shell, or a menu, and wait
 * for a person. After a reset the tries of that image run out by themselves.
 *
 * The firmware checks systemd-boot's signature as it has checked this program's:
 * it is loaded through LoadImage.
 *
 * References are to the UEFI specification, 2.10. Declared is what is used; what
 * lies between is padding.
 */

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long long uint64;
typedef uint64 status; /* appendix D: 0 is success */
typedef void *handle;

#define EFIAPI __attribute__((ms_abi)) /* 2.3.4.2 */

typedef struct {
	uint32 a;
	uint16 b, c;
	uint8 d[8];
} guid;

/* 9.1: EFI_LOADED_IMAGE_PROTOCOL_GUID, 10.2: EFI_DEVICE_PATH_PROTOCOL_GUID */
static const guid loaded_image_id = {0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const guid device_path_id = {0x09576e91, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};

/* 10.3.1: the head of a device path node. Length counts the head too. */
typedef struct {
	uint8 type, subtype;
	uint8 length[2];
} node;

enum { MEDIA = 0x04, FILE_PATH = 0x04, END = 0x7f, END_ENTIRE = 0xff }; /* 10.3.1, 10.3.5.4 */

/* 9.1: EFI_LOADED_IMAGE_PROTOCOL */
typedef struct {
	uint32 revision;
	handle parent;
	void *system_table;
	handle device;
} loaded_image;

/* 12.4: EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL */
typedef struct text_output {
	void *reset;
	status(EFIAPI *output_string)(struct text_output *, const uint16 *);
} text_output;

/* 4.4: EFI_BOOT_SERVICES, by the index of each function after the 24 bytes of the table's head */
enum { ALLOCATE_POOL = 5, HANDLE_PROTOCOL = 16, LOAD_IMAGE = 22, START_IMAGE = 23, STALL = 28 };
/* 4.5: EFI_RUNTIME_SERVICES, likewise */
enum { RESET_SYSTEM = 10 };

typedef struct {
	uint8 head[24];
	void *function[];
} services;

/* 4.3: EFI_SYSTEM_TABLE */
typedef struct {
	uint8 head[24];
	uint16 *vendor;
	uint32 revision;
	handle console_in;
	void *in;
	handle console_out;
	text_output *out;
	handle standard_error;
	text_output *err;
	services *runtime, *boot;
} system_table;

typedef status(EFIAPI *allocate_pool)(uint32 type, uint64 size, void **);
typedef status(EFIAPI *handle_protocol)(handle, const guid *, void **);
typedef status(EFIAPI *load_image)(uint8 policy, handle parent, node *, void *source, uint64 size, handle *);
typedef status(EFIAPI *start_image)(handle, uint64 *size, uint16 **data);
typedef status(EFIAPI *stall)(uint64 microseconds);
typedef void(EFIAPI *reset_system)(uint32 type, status, uint64 size, void *);

enum { LOADER_DATA = 2 /* 7.2 */, COLD = 0 /* 8.5.1 */ };

static const uint16 loader[] = u"\\EFI\\systemd\\systemd-bootx64.efi";

static uint64 length(const node *n) { return n->length[0] | n->length[1] << 8; }

static node *next(const node *n) { return (node *)((uint8 *)n + length(n)); }

static void copy(void *to, const void *from, uint64 size) {
	for (uint64 i = 0; i < size; i++)
		((volatile uint8 *)to)[i] = ((const uint8 *)from)[i];
}

/* append writes a node and returns where the next one goes. */
static node *append(node *at, uint8 type, uint8 subtype, const void *data, uint64 size) {
	uint64 all = sizeof(node) + size;
	*at = (node){type, subtype, {all & 0xff, all >> 8}};
	copy(at + 1, data, size);
	return next(at);
}

/* loader_path is the path of systemd-boot on a device, whose own path is given. */
static status loader_path(services *boot, const node *device, node **path) {
	const node *end = device;
	while (end->type != END && length(end) >= sizeof(node))
		end = next(end);
	uint64 size = (uint8 *)end - (uint8 *)device;
	status s = ((allocate_pool)boot->function[ALLOCATE_POOL])(LOADER_DATA, size + 2 * sizeof(node) + sizeof loader, (void **)path);
	if (s)
		return s;
	copy(*path, device, size);
	append(append((node *)((uint8 *)*path + size), MEDIA, FILE_PATH, loader, sizeof loader), END, END_ENTIRE, 0, 0);
	return 0;
}

/* start_loader returns when there is nothing left to hope for. */
static status start_loader(handle self, services *boot) {
	handle_protocol protocol = (handle_protocol)boot->function[HANDLE_PROTOCOL];
	loaded_image *me;
	node *device, *path;
	handle image;
	status s = protocol(self, &loaded_image_id, (void **)&me);
	if (!s)
		s = protocol(me->device, &device_path_id, (void **)&device);
	if (!s)
		s = loader_path(boot, device, &path);
	if (!s)
		s = ((load_image)boot->function[LOAD_IMAGE])(0, self, path, 0, 0, &image);
	if (!s)
		s = ((start_image)boot->function[START_IMAGE])(image, 0, 0);
	return s;
}

/* say shows a text and a status on the firmware's console. */
static void say(system_table *system, const uint16 *text, status s) {
	uint16 digits[] = u"0x................\r\n";
	for (int i = 0; i < 16; i++)
		digits[2 + i] = u"0123456789abcdef"[s >> (60 - 4 * i) & 15];
	if (system->out) {
		system->out->output_string(system->out, text);
		system->out->output_string(system->out, digits);
	}
}

status EFIAPI efi_main(handle self, system_table *system) {
	status s = start_loader(self, system->boot);
	say(system, u"\r\nguard: the boot loader has not started a system: resetting the machine. Status ", s);
	((stall)system->boot->function[STALL])(3 * 1000 * 1000);
	((reset_system)system->runtime->function[RESET_SYSTEM])(COLD, s, 0, 0);
	return s;
}
