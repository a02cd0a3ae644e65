using System.CommandLine;
using Forengate.Cli.Output;
using Forengate.Engine;

namespace Forengate.Cli.Commands;

/// <summary>Arguments and options that several commands take, spelled once.</summary>
internal sealed class Shared
{
    public Argument<string> Target { get; } = new("TARGET")
    {
        Description = "An image file, libvirt:NAME or qmp:SOCKET",
    };

    public Option<string?> Connect { get; } = new("--connect", "-c")
    {
        Description = "libvirt connection URI (default: $LIBVIRT_DEFAULT_URI, else qemu:///system)",
        HelpName = "URI",
    };

    public Option<string?> Format { get; } = new("--format")
    {
        Description = "Read the file as this format instead of telling it by its content: raw",
        HelpName = "FORMAT",
    };

    public Option<string?> Ranges { get; } = new("--ranges")
    {
        Description = "For raw images: where its bytes lie in guest-physical memory, as START-END[=FILEOFFSET],… (hexadecimal with 0x)",
        HelpName = "LIST",
    };

    public Option<OutputFormat> Output { get; } = new("--output", "-o")
    {
        Description = "table, json, jsonl or csv",
        DefaultValueFactory = _ => OutputFormat.Table,
    };

    public Option<CaptureChoice> Consistency { get; } = new("--consistency")
    {
        Description = "Live guests: auto and stop hold the guest still while it is read, live reads it running (torn reads possible)",
        DefaultValueFactory = _ => CaptureChoice.Auto,
    };

    public void AddTargetTo(Command command)
    {
        command.Arguments.Add(Target);
        command.Options.Add(Connect);
        command.Options.Add(Format);
        command.Options.Add(Ranges);
        command.Options.Add(Consistency);
    }

    public TargetOptions TargetOptions(ParseResult result) => new()
    {
        ConnectUri = result.GetValue(Connect),
        Format = result.GetValue(Format),
        Ranges = result.GetValue(Ranges),
        Consistency = result.GetValue(Consistency),
    };
}
