namespace Forengate.Lab.Image;

/// <summary>Names of kernel modules as a plain Windows loads them, in about that order.</summary>
internal static class DriverNames
{
    private static readonly string[] _inSystem32 = ["hal.dll", "kd.dll", "mcupdate_GenuineIntel.dll", "PSHED.dll", "BOOTVID.dll", "ci.dll", "win32k.sys", "win32kbase.sys", "win32kfull.sys", "cdd.dll"];

    private static readonly string[] _names =
    [
        "hal.dll", "kd.dll", "mcupdate_GenuineIntel.dll", "CLFS.SYS", "tm.sys", "PSHED.dll", "BOOTVID.dll", "FLTMGR.SYS", "msrpc.sys", "ksecdd.sys", "clipsp.sys", "cmimcext.sys", "ntosext.sys", "ci.dll", "cng.sys",
        "Wdf01000.sys", "WDFLDR.SYS", "acpiex.sys", "WppRecorder.sys", "ACPI.sys", "WMILIB.SYS", "intelpep.sys", "WindowsTrustedRT.sys", "pcw.sys", "msisadrv.sys", "pci.sys", "vdrvroot.sys", "pdc.sys", "CEA.sys",
        "partmgr.sys", "spaceport.sys", "volmgr.sys", "volmgrx.sys", "mountmgr.sys", "intelide.sys", "PCIIDEX.SYS", "ataport.SYS", "atapi.sys", "storahci.sys", "storport.sys", "viostor.sys", "EhStorClass.sys",
        "fileinfo.sys", "Wof.sys", "WdFilter.sys", "Ntfs.sys", "Fs_Rec.sys", "ndis.sys", "NETIO.SYS", "ksecpkg.sys", "tcpip.sys", "fwpkclnt.sys", "wfplwfs.sys", "fvevol.sys", "volume.sys", "volsnap.sys", "rdyboost.sys",
        "mup.sys", "iorate.sys", "disk.sys", "CLASSPNP.SYS", "crashdmp.sys", "cdrom.sys", "filecrypt.sys", "tbs.sys", "Null.SYS", "Beep.SYS", "dxgkrnl.sys", "watchdog.sys", "BasicDisplay.sys", "BasicRender.sys", "Npfs.SYS",
        "Msfs.SYS", "tdx.sys", "TDI.SYS", "netbt.sys", "afunix.sys", "afd.sys", "vwififlt.sys", "pacer.sys", "netbios.sys", "rdbss.sys", "csc.sys", "nsiproxy.sys", "npsvctrig.sys", "mssmbios.sys", "gpuenergydrv.sys",
        "dfsc.sys", "fastfat.SYS", "bam.sys", "ahcache.sys", "CompositeBus.sys", "kdnic.sys", "umbus.sys", "balloon.sys", "netkvm.sys", "vioser.sys", "fwcfg.sys", "pvpanic.sys", "i8042prt.sys", "kbdclass.sys", "mouclass.sys",
        "serial.sys", "serenum.sys", "usbuhci.sys", "USBPORT.SYS", "usbehci.sys", "HDAudBus.sys", "portcls.sys", "drmk.sys", "ks.sys", "CmBatt.sys", "BATTC.SYS", "intelppm.sys", "acpipagr.sys", "UEFI.sys", "NdisVirtualBus.sys",
        "swenum.sys", "rdpbus.sys", "usbhub.sys", "USBD.SYS", "hidusb.sys", "HIDCLASS.SYS", "HIDPARSE.SYS", "mouhid.sys", "win32k.sys", "win32kbase.sys", "win32kfull.sys", "cdd.dll", "dump_diskdump.sys", "dump_viostor.sys",
        "dump_dumpfve.sys", "monitor.sys", "dxgmms2.sys", "luafv.sys", "wcifs.sys", "cldflt.sys", "storqosflt.sys", "registry.sys", "lltdio.sys", "mslldp.sys", "rspndr.sys", "wanarp.sys", "msquic.sys", "HTTP.sys", "bowser.sys",
        "mpsdrv.sys", "mrxsmb.sys", "mrxsmb20.sys", "srvnet.sys", "mmcss.sys", "Ndu.sys", "peauth.sys", "tcpipreg.sys", "srv2.sys", "condrv.sys", "rassstp.sys", "NDProxy.sys", "agilevpn.sys", "rasl2tp.sys", "raspptp.sys",
        "raspppoe.sys", "ndistapi.sys", "ndiswan.sys", "WdNisDrv.sys", "vhdmp.sys", "asyncmac.sys",
    ];

    /// <summary>File name and full path of the module at a place behind ntoskrnl; beyond the list come numbered ones.</summary>
    public static (string Name, string Path) At(int index)
    {
        var name = index < _names.Length ? _names[index] : $"twin{index:D3}.sys";
        var path = _inSystem32.Contains(name) ? @"\SystemRoot\system32\" + name : @"\SystemRoot\System32\drivers\" + name;
        return (name, path);
    }
}
